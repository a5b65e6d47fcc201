# A fifth of all datagrams is damaged; they are dropped, the session lives and every report gets through once.
device m   psk=k1 count=10
m connects
network    flips a bit in 200 of 1000
m posts    temp=1
expect m   2.04 within 2m
m posts    temp=2
expect m   2.04 within 2m
after 1m   expect gw sessions=10 sessions_closed_abuse=0 dtls.unauthentic>=1
expect store m temp=1,2
