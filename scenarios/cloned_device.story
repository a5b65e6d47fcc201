# A device is copied with its secret; the platform ends the older session, and the newer one goes on.
device a      psk=k1
device copy   identity=a psk=k1
a connects
after 1h      copy connects
expect gw     sessions=2
gw closes a
expect a      closed within 3s
expect gw     sessions=1 sessions_closed_by_command=1
copy posts    temp=40
expect copy   2.04 within 3s
