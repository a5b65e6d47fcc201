# A meter reports once a day, by one handshake.
device a   psk=k1
a connects
after 24h  a posts temp=1
expect a   2.04 within 3s
after 24h  a posts temp=2
expect a   2.04 within 3s
after 24h  a posts temp=3
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=1
expect store a temp=1,2,3
