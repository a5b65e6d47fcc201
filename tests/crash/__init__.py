"""The real binary, killed, and with its disk and its files broken. See README.md."""
