# A device that is silent for too long is told good-bye, and comes back with a new handshake.
server     idle_timeout=24h
device a   psk=k1
a connects
a posts    temp=21.5
expect a   2.04 within 3s
expect a   nothing within 23h
expect a   closed within 70m
expect gw  sessions=0 sessions_closed_idle=1
a connects
expect gw  sessions=1 handshakes=2
