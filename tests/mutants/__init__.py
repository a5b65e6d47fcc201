"""Rules of the product, broken on purpose. See mutants.toml."""
