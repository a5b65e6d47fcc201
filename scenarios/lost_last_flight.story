# The gateway's last flight gets lost twice; it is sent again when the device asks again.
device a   psk=k1
gw looks up after 2s
a tries to connect
expect gw  lookups=1 within 1s
network    loses the next 2 to a
expect gw  sessions=1 within 3s
expect a   nothing within 1s
expect a   connected within 20s
a posts    temp=21.5
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=1 handshakes_begun=1
