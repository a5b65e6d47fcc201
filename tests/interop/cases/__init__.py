"""The cases, by theme. Importing a module registers its cases."""
