# Every datagram takes four seconds; with patient timers a device connects and reports, and nothing counts twice.
device a   psk=k1 retransmit=9s ack_timeout=10s
network    delays 4s
a tries to connect
expect a   nothing within 20s
expect a   connected within 10s
a posts    temp=21.5
expect a   nothing within 7s
expect a   2.04 within 20s
expect gw  handshakes=1 handshakes_begun=1 carried_out=1 coap.duplicate=0
