# Somebody records a whole session and plays it again, from the same address and from elsewhere: nothing happens twice.
device a   psk=k1
network records
a connects
a posts    temp=21.5
expect a   2.04 within 3s
network replays
expect gw  carried_out=1 sessions=1 handshakes_begun=1 dtls.replayed>=1
network replays from elsewhere
expect gw  carried_out=1 sessions=1 handshakes_begun=1 lost_associations>=1
a posts    temp=21.6
expect a   2.04 within 3s
expect store a temp=21.5,21.6
