"""Cells derived from the strengths that a search learnt, within limits on their cost.

- find_runs: the runs at a path or with an id
- searched_run: one run with its strengths (`SearchedRun`)
- candidates: cells it may derive, and their probability
- limits: what cells cost, and limits on it
- derive: the best cells within the limits
- view: these as a table or as JSON
"""
