"""Pictures of every page of the console (`tests/run shots`)."""
