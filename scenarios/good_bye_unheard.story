# A good-bye gets lost: the session stays until the device connects again from its port.
device a   psk=k1
a connects
network loses the next 1 to gw
a closes
after 1h   expect gw sessions=1 sessions_closed_by_peer=0
a tries to connect
expect a   connected within 900ms
expect gw  sessions=1 handshakes=2 sessions_replaced=1
