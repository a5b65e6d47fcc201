# A NAT gives the port of one device to another one, whose handshake ends the old session.
device a   psk=k1
device b   psk=k2 at=a
a connects
a moves to a new port
b connects
expect gw  sessions=1 handshakes=2 sessions_replaced=1
b posts    temp=5
expect b   2.04 within 3s
a connects
expect gw  sessions=2
