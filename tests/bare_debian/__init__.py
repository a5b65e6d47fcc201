"""A Debian with nothing but a toolchain."""
