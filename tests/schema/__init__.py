"""Every operation of the HTTP API with inputs that are made of its document (`tests/run schema`)."""
