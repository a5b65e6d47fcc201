"""The real binary against clients that we did not write. See README.md."""
