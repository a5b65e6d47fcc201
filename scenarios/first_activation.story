# A new meter asks for its own secret with its product's, and comes back with it.
device a        mode=product psk=c3PW03srd6c
a connects
a asks for its secret
expect a        secret within 3s
device a-owned  identity=a at=a psk=issued
a powers off
a-owned connects
a-owned posts   temp=21.5
expect a-owned  2.04 within 3s
expect gw       sessions=1 handshakes=2 sessions_replaced=1
