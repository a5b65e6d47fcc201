# A request for something that does not exist is answered and leaves the session alone.
device a   psk=k1
a connects
a gets     /nowhere
expect a   4.04 within 3s
a posts    temp=21.5
expect a   2.04 within 3s
expect gw  sessions=1
