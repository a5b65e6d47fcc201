# The cell is gone for ten seconds in the middle of a handshake, which goes on afterwards.
device a   psk=k1
a tries to connect
expect gw  half_open=1 within 1s
network    loses everything for 10s
after 2s   expect a nothing within 8s
expect a   connected within 20s
expect gw  sessions=1 half_open=0 handshakes_begun=1
