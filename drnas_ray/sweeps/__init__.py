"""Sweep files: methods x data sets x grid x seeds, run by Ray Tune.

spec/: what a file says. plan/: its runs and retrainings, and all that can be checked without Ray.
ray_tune/: the part that talks to Ray. tune/: HyperOpt, schedulers, population-based training.
train_cells/: `drnas bench build`. sweep.py runs a sweep; local.py one search without Ray.
"""
