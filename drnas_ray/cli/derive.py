"""drnas derive: cells and networks from what a search learnt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drnas_ray.api.exports import Form
from drnas_ray.cli.common import DataRoot, err, escaped, one_line_errors, out, print_warnings

if TYPE_CHECKING:
    from analysis.derive.derive import Derived

app = typer.Typer()


@app.command()
@one_line_errors
def derive(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|DIR",
            help="A results folder (all its runs), DIR/RUN-ID, a trial's folder, or a run id under "
            "results/. An id may be abbreviated.",
        ),
    ],
    max_params: Annotated[
        float | None, typer.Option(help="Limit on parameters, in millions.")
    ] = None,
    max_flops: Annotated[
        float | None, typer.Option(help="Limit on multiply-adds per image, in millions.")
    ] = None,
    max_latency: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE=MS", help="Limit on latency (--hardware); repeatable."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Cells per run; by default 5, or 1 if there are several runs."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Sample this many cells instead of listing the whole space."),
    ] = None,
    benchmark: Annotated[
        Path | None, typer.Option(help="Add accuracies from this NAS-Bench-201 table.")
    ] = None,
    hardware: Annotated[
        Path | None, typer.Option(help="A table of latencies with the columns of HW-NAS-Bench.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set of costs and accuracies, if not the run's own.")
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Channels (C) of the network; by default the retraining's, else 16."
        ),
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(min=1, help="Cells per stage (N); by default the retraining's, else 5."),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Number of classes, for a data set of your own files.")
    ] = None,
    forms: Annotated[
        list[Form] | None,
        typer.Option("--export", help="Write each run's best cell in this form; repeatable."),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="Folder, or file for a single export; by default DIR/derived."),
    ] = None,
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Derive the most probable cells from what a search learnt, within limits on their cost.

    All of NAS-Bench-201's 15,625 cells are considered. `--export torch` writes a torch.export
    program, `onnx` an ONNX model: with the retraining's weights if the run has any, else untrained.

    Examples: `drnas derive results/demo --max-params 0.05`;
    `drnas derive results/nb201-table/4f2a --top 10 --hardware hw.parquet --max-latency edgegpu=4.5`
    """
    from rich.progress import track

    from analysis.derive import view
    from analysis.derive.find_runs import find_runs
    from analysis.derive.limits import Limit
    from analysis.derive.several import cautions, derive_all, network_size
    from analysis.records.benchmark import BenchmarkTable
    from drnas_ray.api.exports import check_target, write
    from drnas_ray.benchmarks.hardware import Hardware
    from drnas_ray.config import DataSettings

    limits = [Limit.latency(text) for text in max_latency or ()]
    pairs = (("params_m", max_params), ("flops_m", max_flops))
    limits += [Limit(name, most) for name, most in pairs if most is not None]
    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    latencies = None if hardware is None else Hardware(hardware)
    found = find_runs(place)
    print_warnings(found.left_out)
    target = check_target(out_path, forms or (), len(found.runs), found.folder)
    data = None if dataset is None else DataSettings(name=dataset)
    sized = [
        (run, network_size(run, data, channels=channels, cells=cells, classes=classes))
        for run in found.runs
    ]
    derived, refused = derive_all(
        track(sized, "deriving", console=err, transient=True, disable=len(sized) < 50),
        limits=limits,
        top=top or (5 if len(found.runs) == 1 else 1),
        samples=samples,
        data=data,
        benchmark=known,
        hardware=latencies,
    )
    print_warnings(map(str, refused))
    print_warnings(cautions(derived, known))
    few = not forms or len(derived) < 3
    shown = track(derived, "exporting", console=err, transient=True, disable=few)
    files = [file for one in shown for file in write(one, forms or (), target, data_root)]
    if as_json:
        _print_json(derived, files)
    else:
        out.print(view.to_rich(derived))
        for line in view.lines(derived):
            out.print(escaped(line), highlight=False)
        for path, weights in files:
            about = "" if weights is None else f"  weights {weights}"
            out.print(escaped(f"{path}{about}"), highlight=False)
    if refused:
        raise typer.Exit(1)


def _print_json(derived: list[Derived], files: list[tuple[Path, str | None]]) -> None:
    import json

    from analysis.derive.view import plain

    written = [{"path": str(path), "weights": weights} for path, weights in files]
    found = {"runs": [plain(one) for one in derived], "files": written}
    sys.stdout.write(json.dumps(found) + "\n")
