"""Results folders as tables: collect, export, load, merge."""
