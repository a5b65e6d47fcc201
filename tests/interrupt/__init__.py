"""Suites that are ended in the middle."""
