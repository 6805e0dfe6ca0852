"""Official benchmark files, tidy tables and trained cells to one Parquet table, once.

Only `drnas bench import` uses this package. convert: what that command calls. official: the
official files, cell by cell; trials: one cell of them as numbers; collect: cells to columns. tidy:
CSV and Parquet; trained: a folder of cells that were trained here. pickles, opcodes, inert,
bytestream: a pickle reader that runs no code from the file.
"""
