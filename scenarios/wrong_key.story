# A device with a wrong key gets no session and no hint; the platform hears of it once.
device a   psk=k1 known=k2
a tries to connect
expect a   gave up within 2m
expect gw  wrong_keys=1 finished_rejected=1 sessions=0 handshakes=0
expect gw  half_open=0 within 1m
