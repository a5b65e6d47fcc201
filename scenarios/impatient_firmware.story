# Firmware repeats its report long before an answer can come; it is carried out once.
device a   psk=k1 ack_timeout=200ms
a connects
gw answers after 1s
a posts    temp=21.5
expect a   2.04 within 5s
expect gw  requests=1 carried_out=1 coap.duplicate_working>=2
expect store a temp=21.5
