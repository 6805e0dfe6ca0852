"""Figures of cells that others measured or that were trained here; no torch.

base: what a multi-trial search may ask. table, columns, numbering: a benchmark table in Parquet.
tabular: the part of it that a search sees. cache, parts: cells that were trained here. costs:
parameters and multiply-adds by formula. hardware: latencies and energies. published, report:
printed figures.
"""
