"""From the files that a sweep leaves to tables, figures, cells and pages. No torch, no Ray.

Data flow from records (files to data frames) through stats (numbers over seeds) to tables. The
docstring of each package lists its modules:

- records: results folders as data frames; exports to Parquet
- cells: pictures of cells, collapsed cells
- stats, tables, paper: numbers over seeds, tables of them, the paper's tables
- tuning: the points of a tuning, and which setting matters
- derive: cells within limits on their cost
- progress: the progress of a sweep, and how long epochs take
- figures: all figures, by name
- report: one HTML page of all of it
- style: how figures look, and how they are saved
"""
