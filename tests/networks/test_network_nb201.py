"""The network of one cell: its size, what it computes, cells that carry nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from drnas_ray.config import SupernetSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.networks import NETWORKS
from drnas_ray.networks.nb201 import NB201Network
from drnas_ray.spaces.nb201 import NB201, OPS
from drnas_ray.supernets.nb201.network import NB201Supernet

SPACE = NB201()
SAMPLE = [9930, 1835, 11472, 2299, 0, 1, *range(500, 15625, 629)]


def network(index: int, **sizes) -> NB201Network:
    sizes = {"channels": 16, "cells": 5, "in_channels": 3, "classes": 10, **sizes}
    return NB201Network(SPACE.cell(index), **sizes)


def count(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("channels", "cells", "classes"), [(16, 5, 10), (8, 2, 7)])
def test_closed_form_of_the_parameter_count(channels, cells, classes):
    for index in SAMPLE[:10]:
        ops = [OPS[op] for op in SPACE.choices(SPACE.cell(index))[0]]
        expected = 3 * channels * 9 + 2 * channels  # stem
        for stage in range(3):
            c = channels * 2**stage
            per_cell = {"nor_conv_1x1": c * c + 2 * c, "nor_conv_3x3": 9 * c * c + 2 * c}
            expected += cells * sum(per_cell.get(op, 0) for op in ops)
            if stage:
                half = c // 2
                expected += (
                    9 * half * c + 9 * c * c + 4 * c + half * c
                )  # two convolutions, shortcut
        expected += 2 * 4 * channels + 4 * channels * classes + classes
        net = network(index, channels=channels, cells=cells, classes=classes)
        assert count(net) == expected


@pytest.mark.long
@pytest.mark.table
def test_parameters_are_the_tables(nb201_table):
    classes = {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
    assert len(SAMPLE) >= 30
    for index in SAMPLE:
        for name, number in classes.items():
            expected = nb201_table[f"{name}_params_mb"][index]
            assert count(network(index, classes=number)) / 1e6 == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("index", SAMPLE[:12])
def test_it_computes_the_same_as_the_supernet_with_one_hot_weights(index):
    """Affine normalisation starts as the identity, so with equal weights the two agree."""
    sizes = {"channels": 4, "cells": 2, "in_channels": 2, "classes": 3}
    net = network(index, **sizes).double()
    supernet = NB201Supernet(
        SupernetSettings(channels=4, cells=2, fused=False), in_channels=2, classes=3
    ).double()
    choices = torch.as_tensor(SPACE.choices(SPACE.cell(index)))
    theirs = supernet.state_dict()
    state = {}
    for name in net.state_dict():
        part = name.split(".")
        if "convolutions" in part:  # body.B.convolutions.E.conv.weight
            op = OPS[choices[0, int(part[3])]]
            other = ".".join([*part[:2], "edges", part[3], op, *part[4:]])
            if part[4] == "bn" and part[5] in ("weight", "bias"):
                state[name] = net.state_dict()[name]
                assert (state[name] == (part[5] == "weight")).all()
                continue
            state[name] = theirs[other]
        else:
            state[name] = theirs[name]
    net.load_state_dict(state)

    x = torch.randn(4, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sample = ArchSample(F.one_hot(choices, 5).double())
    for train in (True, True, False):  # the running statistics go along
        net.train(train)
        supernet.train(train)
        ours = net(x)
        torch.testing.assert_close(ours, supernet(x, sample), rtol=1e-9, atol=1e-9)
    assert ours.std() > 0


DEAD = {
    "all none": [0] * 6,
    "nothing reaches the output": [3, 3, 3, 0, 0, 0],
    "the output reads nodes that got nothing": [0, 0, 3, 0, 3, 3],
}


@pytest.mark.parametrize("case", DEAD)
def test_dead_cells_train_without_error(case):
    genotype = SPACE.genotype(np.array([DEAD[case]]))
    torch.manual_seed(0)
    net = NB201Network(genotype, channels=4, cells=1, in_channels=1, classes=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    x, labels = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 1])
    for _ in range(3):
        loss = F.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    net.eval()
    logits = net(x)
    assert logits.isfinite().all()
    if case != "the output reads nodes that got nothing":
        assert torch.allclose(logits, logits[:1])  # the image can't get through


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)], ids=str)
def test_any_image_size(size):
    net = network(9930, channels=4, cells=1)
    assert net(torch.randn(5, 3, *size)).shape == (5, 10)


def test_the_table_of_networks_covers_the_spaces():
    assert NETWORKS["nb201"] is NB201Network
