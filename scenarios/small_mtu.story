# A tunnel carries 300 bytes: the handshake and small reports fit, a long report does not and harms nothing.
device a   psk=k1
network    carries 300 bytes
a connects
a posts    temp=21.5
expect a   2.04 within 3s
a posts    600 bytes
expect a   timeout within 5m
a posts    temp=21.6
expect a   2.04 within 3s
network is good
a posts    900 bytes
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=1 carried_out=3
expect store a temp=21.5,21.6
