"""Single cells: pictures of them, and which have collapsed.

- plot: a cell as a graph on matplotlib axes
- draw: picture files of the cells that runs derived, and an overview of them
- collapse: what a cell's output depends on (`output_kind`)
"""
