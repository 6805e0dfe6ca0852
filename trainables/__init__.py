"""Ray Tune trainables: where a run meets Ray."""
