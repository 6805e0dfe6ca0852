"""A mask of kept operations that tests of many methods share."""

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
