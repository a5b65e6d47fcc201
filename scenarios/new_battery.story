# A battery is changed: same port, a new handshake, and the old session goes only when the new one stands.
device a   psk=k1
a connects
a posts    temp=21.5
expect a   2.04 within 3s
a powers off
after 2h   network loses everything for 20s
a tries to connect
after 10s  expect gw sessions=1 handshakes=1 sessions_replaced=0
expect a   connected within 40s
expect gw  sessions=1 handshakes=2 sessions_replaced=1
a posts    temp=21.6
expect a   2.04 within 3s
expect store a temp=21.5,21.6
