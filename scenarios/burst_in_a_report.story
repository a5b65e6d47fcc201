# Nothing gets through for ten seconds while a device reports; the repetition does.
device a   psk=k1
a connects
network    loses everything for 10s
a posts    temp=21.5
expect a   nothing within 10s
expect a   2.04 within 20s
expect gw  carried_out=1
