"""The console of the real program in a browser (`tests/run console`)."""
