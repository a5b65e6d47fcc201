# A device is gone for a month; its session ended after a day, and the first report only reveals it.
server     idle_timeout=24h
device a   psk=k1
a connects
network    loses everything for 30d
after 26h  expect gw sessions=0 sessions_closed_idle=1
after 30d  a posts   temp=21.5
expect a   timeout within 5m
expect gw  lost_associations=5
a connects
a posts    temp=21.6
expect a   2.04 within 3s
expect gw  sessions=1 handshakes=2
expect store a temp=21.6
