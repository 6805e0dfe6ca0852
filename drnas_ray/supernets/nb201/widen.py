"""Widening partial channels between stages (DrNAS, arXiv:2006.10355, section 3.4).

The mixed operation grows from C/K channels to C/K': each convolution keeps its channels, and its
new ones are copies of uniformly random existing ones. Input and output channels are drawn
independently for each convolution, and copies are not divided by how often they occur, so the
function changes: this is the authors' rule, unlike Net2Net's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from drnas_ray.supernets.nb201.convert import fused_state, plain_state

_CONV = re.compile(r"(body\.\d+\.edges\.\d+\.nor_conv_[13]x[13])\.(conv|bn)\.(\w+)")
Channels = dict[str, tuple[Tensor, Tensor]]
"""Plain name of a convolution -> the source of each output channel and of each input channel."""


def draw_channels(state: Mapping[str, Tensor], before: int, now: int, *, fused: bool) -> Channels:
    """For each convolution of the cells, the old channel that each new channel keeps or copies.

    From 1/before of the channels to 1/now of them. The new width must be a whole number; before/now
    need not be.

    Draws from torch's global CPU generator, output before input, in the order of the names.
    """
    chosen: Channels = {}
    for key, value in (plain_state(state) if fused else state).items():
        match = _CONV.fullmatch(key)
        if match and match[2] == "conv":
            old, new = len(value), len(value) * before // now
            chosen[match[1]] = (_sources(old, new), _sources(old, new))
    return chosen


def _sources(old: int, new: int) -> Tensor:
    return torch.cat([torch.arange(old), torch.randint(old, (new - old,))])


def widened(state: Mapping[str, Tensor], channels: Channels, *, fused: bool) -> dict[str, Tensor]:
    """Weights, optimiser statistics, or anything with a supernet's names, gathered by channel."""
    plain: dict[str, Any] = dict(plain_state(state) if fused else state)
    for key, value in plain.items():
        match = _CONV.fullmatch(key)
        if match is None or value.ndim == 0:
            continue
        outputs, inputs = (index.to(value.device) for index in channels[match[1]])
        plain[key] = value[outputs][:, inputs] if match[2] == "conv" else value[outputs]
    return fused_state(plain) if fused else plain
