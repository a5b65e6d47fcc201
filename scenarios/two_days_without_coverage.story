# A device loses coverage for two days and comes back in the same session.
device a   psk=k1 suite=ccm8 lifetime=3600
a connects
a posts    temp=21.5
expect a   2.04 within 3s
network    loses everything for 48h
a posts    temp=22.0
expect a   timeout within 5m
after 48h  a posts temp=22.5
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=1
expect store a temp=21.5,22.5
