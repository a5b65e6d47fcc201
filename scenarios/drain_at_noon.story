# The gateway drains: all devices are told, and nobody gets in any more.
device m   psk=k1 count=20
device b   psk=k2
m connects
gw drains
expect m   closed within 3s
expect gw  sessions=0 sessions_drained=20 within 3s
b tries to connect
expect b   gave up within 2m
expect gw  sessions=0 half_open=0 handshakes=20
