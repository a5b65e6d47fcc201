# A device that says good-bye leaves no session behind.
device a   psk=k1
a connects
a closes
expect gw  sessions=0 sessions_closed_by_peer=1 within 3s
after 1h   a connects
expect gw  sessions=1 handshakes=2
