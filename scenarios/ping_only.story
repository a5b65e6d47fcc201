# A device that has nothing to say keeps its session by pings alone, and loses it without them.
server     idle_timeout=1h
device a   psk=k1
a connects
after 55m  a pings
expect a   pong within 3s
after 55m  a pings
expect a   pong within 3s
after 55m  a pings
expect a   pong within 3s
expect gw  sessions=1 handshakes=1 signs_of_life=3 carried_out=0
expect a   nothing within 59m
expect a   closed within 5m
