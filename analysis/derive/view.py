"""Derived cells as a table for the terminal, and as plain values for JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.table import Table as RichTable
from rich.text import Text

from analysis.derive.derive import Derived
from drnas_ray.spaces import space_named
from drnas_ray.spaces.nb201 import NB201

_HEADS = {"params_m": "params\nM", "flops_m": "FLOPs\nM", "valid_acc_pct": "valid\n%",
          "test_acc_pct": "test\n%"}  # fmt: skip
_PLACES = {"params_m": 4, "flops_m": 2, "log_prob_nats": 3}


def plain(derived: Derived) -> dict[str, Any]:
    """One run's cells as values for JSON; unknown ones are null."""
    run, images = derived.run, derived.size.images
    cells = json.loads(derived.cells.to_json(orient="records", double_precision=15))
    return {
        "run_id": run.run_id,
        "label": run.label,
        "method": run.method,
        "space": run.space,
        "searched": run.data.label,
        "dataset": derived.data.label,
        "seed": run.seed,
        "epoch": run.epoch,
        "ended": run.ended,
        "network": {
            "channels": derived.size.channels,
            "cells": derived.size.cells,
            "in_channels": images.channels,
            "classes": images.classes,
            "side": images.side,
        },
        "considered": derived.considered,
        "within": derived.within,
        "sampled": derived.sampled,
        "limits": {limit.cost: limit.most for limit in derived.limits},
        "sources": derived.sources,
        "cells": cells,
    }


def to_rich(derived: Sequence[Derived]) -> RichTable:
    """A row per cell; `lines` prints the genotypes, from where they can be copied."""
    several = len(derived) > 1
    shown = pd.concat([one.cells for one in derived])
    limited = {limit.cost for one in derived for limit in one.limits}
    devices = {str(name) for name in shown if _is_latency(str(name))}
    hidden = devices - limited if devices & limited else set()
    names = [str(name) for name in shown if str(name) not in hidden]
    measured = [name for name in names if _is_figure(name) and shown[name].notna().any()]
    table = RichTable(
        caption=Text(" ".join(notes(derived))), caption_justify="left", box=SIMPLE, pad_edge=False
    )
    heads = (*(("run", "seed") if several else ()), "#", "cell", "log-prob",
             *(_head(name) for name in measured), "")  # fmt: skip
    rows = [
        (
            *((f"{one.run.run_id} {one.run.label}", str(one.run.seed)) if several else ()),
            str(row["rank"]),
            _number(one, row["genotype"]),
            *(_figure(name, row.get(name)) for name in ("log_prob_nats", *measured)),
            _mark(row),
        )
        for one in derived
        for _, row in one.cells.iterrows()
    ]
    for head, *column in zip(heads, *rows, strict=True):
        # On a narrow terminal lines may wrap, but numbers must not be cut off.
        width = max(map(len, (*head.split("\n"), *column)))
        left = head in ("run", "")
        table.add_column(head, justify="left" if left else "right", min_width=width)
    for texts in rows:
        table.add_row(*map(Text, texts))
    return table


def lines(derived: Sequence[Derived]) -> list[str]:
    """The genotype of each row, in the table's order."""
    several = len(derived) > 1
    return [
        f"{f'{one.run.run_id} ' if several else ''}#{row['rank']}  {row['genotype']}"
        for one in derived
        for _, row in one.cells.iterrows()
    ]


def _is_latency(name: str) -> bool:
    return name.endswith("_latency_ms")


def _is_figure(name: str) -> bool:
    return name in _HEADS or _is_latency(name)


def _head(name: str) -> str:
    return _HEADS.get(name, name.removesuffix("_latency_ms") + "\nms")


def _figure(name: str, value: float | None) -> str:
    return "" if pd.isna(value) else f"{value:.{_PLACES.get(name, 2)}f}"


def _number(derived: Derived, genotype: str) -> str:
    """The cell's number in the benchmark, if the space numbers its cells."""
    space = space_named(derived.run.space)
    return str(space.index(genotype)) if isinstance(space, NB201) else ""


def _mark(row: pd.Series[Any]) -> str:
    marks = ["the run's own"] if row["own"] else []
    if not row["connected"]:
        marks.append("output ignores input")
    if not pd.isna(row["same_as"]):
        marks.append(f"isomorphic to #{row['same_as']}")
    return ", ".join(marks)


def notes(derived: Sequence[Derived]) -> list[str]:
    """Sentences on what the numbers mean, how cells are ranked, and out of how many."""
    kinds = {one.run.distribution for one in derived}
    under = {"dirichlet": "Dirichlet means", "categorical": "strengths as shares of their edge"}
    texts = [
        "log-prob: of the cell's operations, in nats, under the "
        + " or ".join(text for kind, text in under.items() if kind in kinds)
        + "."
    ]
    for one in derived if len(derived) == 1 else ():
        what = "distinct cells were sampled" if one.sampled else "cells have a probability above 0"
        texts.append(f"{one.considered:,} {what}{';' if one.limits else '.'}")
        if one.limits:
            texts.append(
                f"{one.within:,} are within the limits (at most {', '.join(map(str, one.limits))})."
            )
    for size in dict.fromkeys(one.size for one in derived):
        images = size.images
        texts.append(
            f"Parameters and multiply-adds of the network with C={size.channels}, N={size.cells} "
            f"for {images.channels}x{images.side}x{images.side} images of {images.classes} classes."
        )
    for source in dict.fromkeys(text for one in derived for text in one.sources):
        texts.append(f"{source[0].upper()}{source[1:]}.")
    return texts
