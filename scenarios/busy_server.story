# A gateway that is full of requests says so, and takes the next one when there is room.
server     requests_max=1
device a   psk=k1
device b   psk=k2
a connects
b connects
gw answers nothing
a posts    temp=1
after 1s   b posts temp=2
expect b   5.03 within 3s
expect gw  requests_busy=1 in_flight=1
gw answers now
expect a   2.04 within 3s
b posts    temp=3
expect b   2.04 within 3s
expect store a temp=1
expect store b temp=3
