# A secret is reset: the session goes on, the old secret opens no other one, the new one does.
device a       psk=k1
a connects
gw learns a psk=k2
a posts        temp=21.5
expect a       2.04 within 3s
a powers off
a tries to connect
expect a       gave up within 2m
expect gw      wrong_keys=1 handshakes=1
device a-reset identity=a at=a psk=k2
a-reset connects
expect gw      sessions=1 handshakes=2
