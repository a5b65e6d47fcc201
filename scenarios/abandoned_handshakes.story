# Thirty devices vanish in the middle of their handshakes; a minute later nothing is left of them.
device m   psk=k1 count=30
m tries to connect
expect gw  half_open=30 lookups=0 within 3s
m powers off
after 59s  expect gw half_open=30
expect gw  half_open=0 handshakes_expired=30 within 3s
expect gw  sessions=0
