# Every datagram comes twice and many are overtaken; every report counts once.
device m   psk=k1 count=10
m connects
network    repeats everything and holds back 300 of 1000 by 1s
m posts    temp=1
expect m   2.04 within 20s
m posts    temp=2
expect m   2.04 within 20s
after 1m   expect gw carried_out=20 dtls.replayed>=20
expect store m temp=1,2
