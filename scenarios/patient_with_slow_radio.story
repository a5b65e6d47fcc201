# Every datagram takes four seconds: an answer that comes late goes out again and again, until the product is nbiot.
device a   psk=k1 retransmit=9s ack_timeout=100s
network    delays 4s
a connects
gw answers after 20s
a posts    temp=21.5
expect a   2.04 within 60s
after 60s  network is good
expect gw  coap.acknowledgement_unknown=2
gw sets the profile nbiot
network    delays 4s
a posts    temp=22
expect a   2.04 within 60s
after 60s  network is good
expect gw  coap.acknowledgement_unknown=2 carried_out=2 sessions=1 handshakes=1
expect store a temp=21.5,22
