"""The server's handshake as a state machine, learnt from the wire."""

# The variable that names the port of the clock which a test moves.
CLOCK = "NARROWGATE_TEST_CLOCK"
