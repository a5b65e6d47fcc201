# A NAT gives a device another port: without a connection ID it is a stranger until it connects again.
server     idle_timeout=2h
device a   psk=k1
a connects
after 40m  a moves to a new port
a posts    temp=21.5
expect a   timeout within 5m
expect gw  lost_associations=5 carried_out=0
a connects
a posts    temp=21.6
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=2 sessions_superseded=1
after 90m  a pings
expect a   pong within 3s
expect gw  sessions=1 sessions_closed_idle=0
expect store a temp=21.6
