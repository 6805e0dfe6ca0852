"""Run ids stay the same from version to version: results are found, and resumed, by them."""

from __future__ import annotations

import pytest

from drnas_ray.blackbox.fixed import RESNET
from drnas_ray.parsing import retrain_config, run_config


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"method": "drnas"}, "ffde6a206b47"),
        ({"method": "enas", "seed": 3}, "a4d47c866a1f"),
        ({"method": "pdarts"}, "fcdff081895d"),
        ({"method": "rea", "benchmark": {"train": {"epochs": 2}}}, "a0dc2d39e99d"),
        ({"method": "uniform"}, "04d0cdeb9947"),
        ({"method": "fixed"}, "7c0c03eadfa2"),
    ],
)
def test_ids_of_searches_are_pinned(raw, expected):
    assert run_config(raw).id() == expected


def test_ids_of_trainings_from_scratch_are_pinned():
    assert retrain_config({"genotype": RESNET}).id() == "ad735f9458a6"
