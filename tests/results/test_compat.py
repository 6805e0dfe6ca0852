"""What results of earlier versions leave out."""

from __future__ import annotations

import math

import pytest

from drnas_ray.results.compat import distribution_of


@pytest.mark.parametrize("written", [None, math.nan])
def test_before_it_was_written_down_only_drnas_had_a_dirichlet(written):
    assert distribution_of("drnas", written) == "dirichlet"
    assert distribution_of("gdas", written) == "categorical"


def test_what_is_written_is_believed():
    assert distribution_of("drnas", "categorical") == "categorical"
    assert distribution_of("new", "dirichlet") == "dirichlet"
