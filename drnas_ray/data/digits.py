"""Handwritten digits, 8x8 grey, as bundled with scikit-learn: 1,437 to train, 360 to test.

From the UCI set "Optical recognition of handwritten digits" (Alpaydin & Kaynak 1998). It needs no
download, so demos and tests use it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drnas_ray.config import DataSettings
from drnas_ray.data.images import ImageSet, Part
from drnas_ray.data.splits import held_out_split, mixed_order


def read_digits(settings: DataSettings, root: Path, part: Part) -> tuple[tuple[str, ...], ImageSet]:
    """One part of the fixed, stratified split; both halves of train hold all digits evenly."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - scikit-learn takes a second to load

    bunch = load_digits()
    grey = bunch.images.astype(np.int64)  # 0..16
    pixels = ((grey * 255 + 8) // 16).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = held_out_split(labels)
    chosen = train[mixed_order(labels[train])] if part == "train" else test
    names = tuple(str(name) for name in bunch.target_names)
    return names, ImageSet.from_arrays(pixels[chosen], labels[chosen])
