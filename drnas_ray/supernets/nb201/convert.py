"""Weights from the plain NAS-Bench-201 supernet to the fused one and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from drnas_ray.supernets.nb201.cell import OUTGOING

_PLAIN = re.compile(r"(body\.\d+)\.edges\.(\d+)\.(nor_conv_[13]x[13])\.(.+)")
_FUSED = re.compile(r"(body\.\d+)\.sources\.(\d+)\.(conv3|conv1|bn)\.(.+)")
_KINDS = ("nor_conv_3x3", "nor_conv_1x1")  # in the order of the fused normalisation


def fused_state(plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict with which a fused supernet computes what this plain one does."""
    state: dict[str, Tensor] = {}
    for key, value in plain.items():
        match = _PLAIN.fullmatch(key)
        if match is None:
            state[key] = value
            continue
        cell, edge, _, rest = match.groups()
        node = next(n for n, outgoing in enumerate(OUTGOING) if int(edge) in outgoing)
        here = f"{cell}.sources.{node}"
        if f"{here}.conv3.weight" not in state:
            for kind, name in zip(_KINDS, ("conv3", "conv1"), strict=True):
                parts = [plain[f"{cell}.edges.{e}.{kind}.conv.weight"] for e in OUTGOING[node]]
                state[f"{here}.{name}.weight"] = torch.cat(parts)
        if rest.startswith("bn."):
            stat = rest.removeprefix("bn.")
            keys = [f"{cell}.edges.{e}.{kind}.{rest}" for kind in _KINDS for e in OUTGOING[node]]
            # The batch counter is one number, the same on every edge.
            shared = stat == "num_batches_tracked"
            whole = plain[keys[0]] if shared else torch.cat([plain[k] for k in keys])
            state[f"{here}.bn.{stat}"] = whole
    return state


def plain_state(fused: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict with which a plain supernet computes what this fused one does."""
    state: dict[str, Tensor] = {}
    for key, value in fused.items():
        match = _FUSED.fullmatch(key)
        if match is None:
            state[key] = value
            continue
        cell, node, part, stat = match.groups()
        outgoing = OUTGOING[int(node)]
        if part != "bn":
            kind = f"nor_conv_{part[-1]}x{part[-1]}"
            for edge, piece in zip(outgoing, value.chunk(len(outgoing)), strict=True):
                state[f"{cell}.edges.{edge}.{kind}.conv.{stat}"] = piece
            continue
        shared = stat == "num_batches_tracked"
        pieces = [value] * (2 * len(outgoing)) if shared else list(value.chunk(2 * len(outgoing)))
        targets = [(kind, edge) for kind in _KINDS for edge in outgoing]
        for (kind, edge), piece in zip(targets, pieces, strict=True):
            state[f"{cell}.edges.{edge}.{kind}.bn.{stat}"] = piece
    return state
