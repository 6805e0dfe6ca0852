"""Figures over seeds: summaries, statistics, paired tests."""
