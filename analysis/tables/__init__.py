"""Tables of methods and of statistics, and their formats.

- comparison: methods as rows, data sets as columns (`drnas table`)
- statistics: statistics and paired comparisons (`drnas stats`)
- notes: the sentences under a table
- render and markup: `Table`, and text, Markdown, CSV, Parquet, LaTeX and HTML made from one
"""
