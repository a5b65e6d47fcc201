"""Floods and mutations at the real program."""
