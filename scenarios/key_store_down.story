# No key look-up is answered: the device gives up, nothing stays, and it gets in when the store is back.
device a   psk=k1
gw looks up nothing
a tries to connect
expect gw  lookups=1 within 2s
expect a   gave up within 2m
expect gw  lookups=0 half_open=0 handshakes_expired=1 within 1m
gw looks up after 10ms
a connects
expect gw  sessions=1
