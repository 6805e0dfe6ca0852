"""Fixed choices of images: a held-out fifth, a balanced subset, an order with even halves.

All draw from numpy's legacy RandomState, whose stream numpy promises never to change, so that the
same files give the same split on every machine and version.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drnas_ray.core.errors import UserError
from drnas_ray.data.images import Labels

Indices = npt.NDArray[np.int64]
SEED = 0


def held_out_split(labels: Labels) -> tuple[Indices, Indices]:
    """Positions (train, test): a fifth of the images, rounded up, is held out, stratified by class.

    Both are sorted, disjoint and contain every class; with many tiny classes the held-out part is a
    little over a fifth. Raises UserError where a class has a single image.
    """
    counts = np.bincount(labels)
    single = np.flatnonzero(counts == 1)
    if len(single):
        raise UserError(
            f"class {single[0]} has 1 image: holding out a fifth needs 2 or more in every class"
        )
    random = np.random.RandomState(SEED)
    test = [
        random.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(_held_out_counts(counts))
    ]
    held_out = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _held_out_counts(counts: Indices) -> Indices:
    """How many of each class are held out: proportional, by largest remainder, 1..count-1."""
    total = -(-int(counts.sum()) // 5)
    share = counts * total / counts.sum()
    present = counts > 0
    result = np.where(present, np.clip(np.floor(share), 1, counts - 1), 0).astype(np.int64)
    for label in np.argsort(result - share, kind="stable"):
        if result.sum() < total and result[label] < counts[label] - 1:
            result[label] += 1
    return result


def balanced_subset(labels: Labels, size: int) -> Indices:
    """Sorted positions of `size` images, as evenly over classes as their sizes allow.

    A smaller subset is part of a larger one. Raises UserError if there are fewer than `size`
    images.
    """
    if size > len(labels):
        raise UserError(
            f"train_images={size} is more than the {len(labels)} training images: give "
            f"{len(labels)} or fewer"
        )
    counts = np.bincount(labels)
    quota = np.zeros_like(counts)
    while (left := size - int(quota.sum())) > 0:
        below_quota = np.flatnonzero(quota < counts)
        if left < len(below_quota):
            quota[below_quota[:left]] += 1
        else:
            quota[below_quota] = np.minimum(
                counts[below_quota], quota[below_quota] + left // len(below_quota)
            )
    random = np.random.RandomState(SEED)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen))


def mixed_order(labels: Labels) -> Indices:
    """A fixed shuffle of all positions whose halves hold each class evenly, up to one image."""
    random = np.random.RandomState(SEED)
    place = np.empty(len(labels))
    for label in range(int(labels.max()) + 1):
        members = random.permutation(np.flatnonzero(labels == label))
        # Ranks at the middles of equal steps over 0..1: half of a class lies on each side of 0.5.
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    tie_break = random.permutation(len(labels))
    return np.lexsort((tie_break, place))


def halves_share_classes(labels: Labels) -> bool:
    """Whether every class with 2 images or more is in the first and in the second half."""
    counts = np.bincount(labels)
    first = np.bincount(labels[: len(labels) // 2], minlength=len(counts))
    return bool(np.all((counts < 2) | ((first > 0) & (first < counts))))
