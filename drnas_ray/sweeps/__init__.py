"""Sweep files: methods x data sets x grid x seeds, run by Ray Tune."""
