"""Slow reference implementations, written from the algorithm notes alone, for tests only."""
