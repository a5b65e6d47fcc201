# Ten devices in a bad radio cell connect and report; what is acknowledged is stored, once.
server     seed=7
device m   psk=k1 count=10
network    is bad
m connects
m posts    temp=1
expect m   2.04 within 4m
after 10m  m posts temp=2
expect m   2.04 within 4m
after 5m   expect gw sessions=10 half_open=0 in_flight=0 carried_out=20 coap.duplicate>=1 dtls.replayed>=1
expect store m temp=1,2
