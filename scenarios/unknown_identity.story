# A stranger whom no platform knows sees what a device with a wrong key sees, and leaves nothing behind.
device a   psk=k1 known=no
a tries to connect
expect a   gave up within 2m
expect gw  sessions=0 handshakes=0 handshakes_failed=0
expect gw  half_open=0 lookups=0 within 1m
