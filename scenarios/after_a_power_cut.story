# A hundred devices lose their power and come back in the same second.
device m   psk=k1 count=100
m connects
m powers off
after 10m  m tries to connect
expect m   connected within 10s
expect gw  sessions=100 handshakes=200 sessions_replaced=100 half_open=0
m posts    temp=1
expect m   2.04 within 10s
expect gw  carried_out=100
