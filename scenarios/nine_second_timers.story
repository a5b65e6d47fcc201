# A module with handshake timers of nine seconds loses its first two datagrams and connects all the same.
device a   psk=k1 retransmit=9s
network loses the next 2 to gw
a tries to connect
expect a   nothing within 26s
expect a   connected within 3s
expect gw  sessions=1 handshakes=1
