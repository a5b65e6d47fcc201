# The store takes twenty seconds: the device is told to wait and gets its answer in a message of its own.
device a   psk=k1
a connects
gw answers after 20s
a posts    temp=21.5
expect a   nothing within 19s
expect a   2.04 within 3s
expect gw  requests=1 carried_out=1 coap.duplicate_working=0
