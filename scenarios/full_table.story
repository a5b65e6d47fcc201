# The table is full: the device that was silent for longest makes room, and may come back.
server     sessions_max=2
device a   psk=k1
device b   psk=k2
device c   psk=k3
a connects
after 1m   b connects
after 1m   a pings
expect a   pong within 3s
c connects
expect b   closed within 3s
expect gw  sessions=2 sessions_shed=1
a posts    temp=1
expect a   2.04 within 3s
