"""Results folders as tables.

- collect: one folder in memory, or exported to Parquet; rows: one row of its tables
- load: one or several folders as one data set; merge: how several become one
- schema: Arrow schemas, and reading exports; freshness: whether an export is up to date
- benchmark: accuracies looked up in a NAS-Bench-201 table; labels: names of runs
"""
