"""What all suites share. `tests/run` puts the folder above on the path; see `tests/__main__.py`."""
