# A gateway without CBC refuses a module that has nothing else, at once and by an alert.
server     suites=ccm8
device a   suite=cbc psk=k1
a tries to connect
expect a   refused within 3s
expect gw  handshakes_failed=1 half_open=0 sessions=0
