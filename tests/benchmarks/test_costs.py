"""Parameters and multiply-adds by formula: against the benchmark's file and against networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drnas_ray.benchmarks.costs import COSTS, NetSize, nb201_costs
from drnas_ray.config import DataSettings
from drnas_ray.data.facts import DataShape, shape_of
from drnas_ray.networks.nb201 import NB201Network
from drnas_ray.spaces import SPACES
from drnas_ray.spaces.nb201 import NB201

SPACE = NB201()


@pytest.mark.table
@pytest.mark.parametrize(
    ("dataset", "prefix"),
    [("cifar10", "cifar10"), ("cifar100", "cifar100"), ("imagenet16-120", "imagenet16")],
)
def test_every_cell_costs_what_the_benchmark_says(nb201_table, dataset, prefix):
    genotypes, choices = SPACE.every()
    rows = nb201_table.set_index("arch").loc[list(genotypes)]
    params, flops = nb201_costs(choices, NetSize(shape_of(DataSettings(name=dataset))))
    assert len(params) == 15_625
    np.testing.assert_array_equal(params, (rows[f"{prefix}_params_mb"] * 1e6).round())
    np.testing.assert_allclose(flops / 1e6, rows[f"{prefix}_flops_m"], rtol=0, atol=1e-9)


def counted(net: torch.nn.Module, images: DataShape) -> tuple[int, int]:
    """Parameters, and multiply-adds of one image by the sizes that its layers see."""
    total = 0

    def convolution(module, _, out):
        nonlocal total
        total += module.weight.numel() * out.shape[2] * out.shape[3]

    def linear(module, *_):
        nonlocal total
        total += module.weight.numel() + module.bias.numel()

    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(convolution)
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(linear)
    with torch.no_grad():
        net.eval()(torch.zeros(1, images.channels, images.side, images.side))
    return sum(p.numel() for p in net.parameters()), total


@pytest.mark.parametrize("index", [9930, 1835, 11472, 2299, 0, 1, 777, 15624])
@pytest.mark.parametrize(
    "size",
    [
        NetSize(DataShape(3, 10, 32)),
        NetSize(DataShape(1, 4, 7), channels=6, cells=2),
        NetSize(DataShape(2, 3, 9), channels=5, cells=1),
    ],
    ids=["benchmark", "odd side", "other"],
)
def test_a_network_has_what_the_formula_says(index, size):
    genotype = SPACE.cell(index)
    net = NB201Network(
        genotype,
        channels=size.channels,
        cells=size.cells,
        in_channels=size.images.channels,
        classes=size.images.classes,
    )
    params, flops = nb201_costs(SPACE.choices(genotype)[None], size)
    assert (params[0], flops[0]) == counted(net, size.images)


def test_every_space_has_costs():
    assert set(COSTS) == set(SPACES)
