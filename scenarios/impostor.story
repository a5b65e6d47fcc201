# An impostor at the address of a device, without its key, does not disturb its session.
device a         psk=k1
device impostor  identity=a at=a psk=guess known=k1
a connects
impostor tries to connect
after 5s   a posts temp=21.5
expect a         2.04 within 3s
expect impostor  gave up within 2m
a posts          temp=21.6
expect a         2.04 within 3s
expect gw        sessions=1 handshakes=1 wrong_keys=1 sessions_replaced=0
expect store a   temp=21.5,21.6
