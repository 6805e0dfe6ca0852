"""Numbers over seeds, as data frames; `analysis.tables` makes them readable.

- summary: one row per method and data set; also how runs are grouped and looked up in a benchmark
- statistics: location, spread, intervals, regret, collapse
- pairs: methods compared in pairs over common seeds
- pareto: the front of accuracy against cost
"""
