# A device vanishes after its last flight while its key is looked up: the session stands, and ends by silence.
server     idle_timeout=2h
device a   psk=k1
gw looks up after 30s
a tries to connect
expect gw  lookups=1 within 2s
a powers off
expect gw  sessions=1 half_open=0 within 30s
expect gw  sessions=0 sessions_closed_idle=1 within 121m
