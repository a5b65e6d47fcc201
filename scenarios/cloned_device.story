# A device is copied with its secret: whoever connects last has the session, and the other one is told good-bye.
device a      psk=k1
device copy   identity=a psk=k1
a connects
after 1h      copy connects
expect a      closed within 3s
expect gw     sessions=1 sessions_superseded=1
copy posts    temp=40
expect copy   2.04 within 3s
a connects
expect copy   closed within 3s
expect gw     sessions=1 sessions_superseded=2
a posts       temp=21.5
expect a      2.04 within 3s
expect store a temp=40,21.5
