"""Masks of kept operations that tests of many methods share."""

import torch

# Five, three, three (others), two, one, four operations kept.
MIXED = torch.tensor(
    [
        [1, 1, 1, 1, 1],
        [0, 1, 1, 0, 1],
        [1, 0, 0, 1, 1],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0],
        [1, 1, 0, 1, 1],
    ],
    dtype=torch.bool,
)[None]

# Two, one, two (others), one, two, one kept: for what takes its time for each of them.
FEW = torch.tensor(
    [
        [0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 0, 1],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ],
    dtype=torch.bool,
)[None]
