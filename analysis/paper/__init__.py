"""The paper's tables with our results beside the published ones: `table.paper_table` makes one.

- rows: which runs belong to which row
- cells: the published number of a cell, and ours
- notes: the sentences under the table, and which runs belong to it at all
"""
