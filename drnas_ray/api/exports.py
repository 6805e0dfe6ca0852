"""Derived cells as files: a genotype's JSON, a torch.export program, an ONNX model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drnas_ray import __version__
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_atomically

if TYPE_CHECKING:
    from torch import nn

    from analysis.derive.derive import Derived


class Form(StrEnum):
    """What a derived cell is written as."""

    genotype = "genotype"
    onnx = "onnx"
    torch = "torch"


_SUFFIX = {Form.genotype: ".json", Form.onnx: ".onnx", Form.torch: ".pt2"}
_MEANT_AS_FILE = (*_SUFFIX.values(), ".pt", ".pth")


def check_target(out: Path | None, forms: Sequence[Form], runs: int, folder: Path) -> Path:
    """Where files go: `out`, a folder, or a file where one is written; `folder`/derived if None.

    Raises UserError where `out` is neither.
    """
    if out is None:
        return folder / "derived"
    if not forms:
        raise UserError(f"--out {out}: nothing is written without --export genotype|onnx|torch")
    suffixes = [_SUFFIX[form] for form in forms]
    if out.suffix in _MEANT_AS_FILE and (runs > 1 or suffixes != [out.suffix]):
        raise UserError(
            f"--out {out}: {runs} x {' and '.join(f'*{suffix}' for suffix in suffixes)} are to be "
            "written: name a folder, or, for one file, one that ends so"
        )
    if out.suffix not in _MEANT_AS_FILE and out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    return out


def write(
    derived: Derived, forms: Sequence[Form], target: Path, data_root: Path | None
) -> Iterator[tuple[Path, str | None]]:
    """Write the best cell in each form; yields each file, and which weights it has.

    Raises UserError where a file can't be written.
    """
    if not forms:
        return
    best = derived.cells.iloc[0]
    facts: dict[str, Any] = {
        "genotype": best["genotype"],
        "space": derived.run.space,
        "run_id": derived.run.run_id,
        "method": derived.run.method,
        "seed": derived.run.seed,
        "dataset": derived.data.label,
        "log_prob_nats": best["log_prob_nats"],
        "params_m": best["params_m"],
        "flops_m": best["flops_m"],
        "drnas_ray_version": __version__,
    }
    made: dict[Form, Callable[[], bytes]] = {
        Form.genotype: lambda: json.dumps(facts, indent=1).encode() + b"\n"
    }
    weights = None
    if set(forms) - {Form.genotype}:
        net, more = _network(derived, data_root)
        made |= _exports(net, derived, {**facts, **more})
        weights = str(more["weights"])
    for form in dict.fromkeys(forms):
        named = target.suffix == _SUFFIX[form]
        path = target if named else target / f"{derived.run.run_id}{_SUFFIX[form]}"
        _write_file(path, made[form]())
        yield path, None if form is Form.genotype else weights


def _exports(
    net: nn.Module, derived: Derived, facts: dict[str, Any]
) -> dict[Form, Callable[[], bytes]]:
    from drnas_ray.networks.export import onnx_model, torch_program

    images = derived.size.images
    return {
        Form.onnx: lambda: onnx_model(net, images, facts),
        Form.torch: lambda: torch_program(net, images, facts),
    }


def _network(derived: Derived, data_root: Path | None) -> tuple[nn.Module, dict[str, Any]]:
    """The best cell's network, and the facts that say what it is and what it takes.

    A retraining trains the canonical cell of an isomorphic class: its weights are used if that one
    meets the limits too.
    """
    from drnas_ray.benchmarks.costs import COSTS
    from drnas_ray.jobs.networks import fresh, normalisation, trained
    from drnas_ray.parsing import retrain_config
    from drnas_ray.spaces import space_named

    run, size, best = derived.run, derived.size, derived.cells.iloc[0]
    fits = best["canonical_keeps_limits"] and derived.data == run.data
    job = run.retraining(best["canonical"]) if fits else None
    genotype, why = best["genotype"], "no retraining of this cell"
    config = None if job is None else retrain_config(job.config)
    net = None
    if job is not None and config is not None:
        try:
            net, epoch = trained(config, size, job.folders)
        except UserError as error:
            why = str(error)
        else:
            genotype = config.genotype
            weights = f"of retraining {job.retrain_id} after epoch {epoch} of {config.epochs}"
    if net is None:
        net = fresh(run.space, genotype, size, run.seed)
        weights = f"untrained, initialised with seed {run.seed} ({why})"
    space = space_named(run.space)
    params, flops = COSTS[run.space](space.choices(genotype)[None], size)
    statistics = normalisation(derived.data, data_root, measure=config is not None)
    return net, {
        "genotype": genotype,
        "weights": weights,
        "params_m": int(params[0]) / 1e6,
        "flops_m": int(flops[0]) / 1e6,
        "input": {
            "shape": ["batch", size.images.channels, size.images.side, size.images.side],
            "scale": "pixels in 0..1, less the mean, by the deviation of their channel",
            "mean": statistics and statistics[0],
            "std": statistics and statistics[1],
        },
    }


def _write_file(path: Path, content: bytes) -> None:
    """Write the file and its folder. Raises UserError where the place can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror}") from error
