# Two answers get lost; the repeated report is answered from memory, not carried out again.
device a   psk=k1
a connects
network loses the next 2 to a
a posts    temp=21.5
expect a   2.04 within 20s
expect gw  requests=1 carried_out=1 coap.duplicate=2
