# A device is disabled: its session is closed and no other one opens.
device a   psk=k1
a connects
gw disables a
expect a   closed within 3s
after 1m   a tries to connect
expect a   gave up within 2m
expect gw  sessions=0 handshakes=1
