"""Losses of power, on a disk that is rebuilt from a trace of system calls."""
