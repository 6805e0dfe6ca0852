"""Held-out fifths, balanced subsets and mixed orders, on label lists of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drnas_ray.core.errors import UserError
from drnas_ray.data.splits import (
    balanced_subset,
    halves_share_classes,
    held_out_split,
    mixed_order,
)

COUNTS = st.lists(st.integers(2, 40), min_size=1, max_size=12)


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.RandomState(seed).permutation(labels).astype(np.int64)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 100))
def test_held_out_fifth_is_disjoint_complete_and_stratified(counts: list[int], seed: int):
    labels = labels_of(counts, seed)
    train, test = held_out_split(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    held = np.bincount(labels[test], minlength=len(counts))
    assert np.all(held >= 1) and np.all(held < counts)
    assert np.all(np.abs(held - np.array(counts) / 5) <= 1)
    again = held_out_split(labels)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], test)


def test_held_out_fifth_has_the_exact_total_where_classes_are_large():
    for counts in ([50, 61, 72], [174, 183, 177], [1000, 5]):
        assert len(held_out_split(labels_of(counts))[1]) == -(-sum(counts) // 5)


def test_a_class_with_one_image_cannot_be_split():
    with pytest.raises(UserError, match="class 1 has 1 image"):
        held_out_split(np.array([0, 0, 1, 2, 2]))


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, data=st.data())
def test_balanced_subset_is_even_nested_and_in_order(counts: list[int], data: st.DataObject):
    labels = labels_of(counts)
    size = data.draw(st.integers(1, len(labels)))
    chosen = balanced_subset(labels, size)
    assert len(set(chosen)) == size and np.all(np.diff(chosen) > 0)
    got = np.bincount(labels[chosen], minlength=len(counts))
    unsated = got[got < counts]  # a class may have less than another only when it has no more
    assert len(unsated) == 0 or (unsated.min() >= got.max() - 1)
    assert set(balanced_subset(labels, max(1, size // 2))) <= set(chosen)


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="train_images=6 is more than the 5"):
        balanced_subset(np.array([0, 0, 1, 1, 1]), 6)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any))
def test_mixed_order_shares_every_class_between_the_halves(counts: list[int]):
    labels = labels_of(counts)
    order = mixed_order(labels)
    assert sorted(order) == list(range(len(labels)))
    mixed = labels[order]
    first = np.bincount(mixed[: len(mixed) // 2], minlength=len(counts))
    assert np.all(np.abs(2 * first - counts) <= 1)
    assert halves_share_classes(mixed)


def test_sorted_labels_are_seen_not_to_share_halves():
    assert not halves_share_classes(np.array([0, 0, 0, 1, 1, 1]))
    assert halves_share_classes(np.array([0, 1, 2, 0, 1, 1]))  # class 2 has nothing to share
