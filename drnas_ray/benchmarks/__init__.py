"""Figures of cells that others measured, or that were trained here; no torch.

base: what a multi-trial search may ask. table, columns, numbering: a benchmark table in Parquet.
tabular: what a search gets of one. cache, parts: cells that were trained here. costs: parameters
and multiply-adds by formula. hardware: latencies and energies. published, report: figures in print.
"""
