"""Benchmarks that methods without a supernet ask: validation figures only."""
