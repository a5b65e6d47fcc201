# The gateway restarts without a word; devices notice by silence and connect again.
device m   psk=k1 count=10
m connects
gw restarts
m posts    temp=1
expect m   timeout within 5m
expect gw  lost_associations=50 sessions=0
m connects
m posts    temp=2
expect m   2.04 within 3s
expect gw  sessions=10 handshakes=10
expect store m temp=2
