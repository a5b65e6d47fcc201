# A secret is reset: the session is closed, the old secret opens no other one, the new one does.
device a       psk=k1
a connects
gw resets a psk=k2
expect a       closed within 3s
expect gw      sessions=0 sessions_closed_by_command=1
a tries to connect
expect a       gave up within 2m
expect gw      wrong_keys=1 handshakes=1
device a-reset identity=a at=a psk=k2
a-reset connects
a-reset posts  temp=21.5
expect a-reset 2.04 within 3s
expect gw      sessions=1 handshakes=2
