"""Tuning: HyperOpt, schedulers, population-based training."""
