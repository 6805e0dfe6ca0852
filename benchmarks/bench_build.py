"""Overhead of `drnas bench build`: cells that take no time, or a given time, to train.

`python benchmarks/bench_build.py [CELLS] [SECONDS_A_CELL]`. Prints cells per second once the
workers are ready, the seconds of the whole call, and the size of the files.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from drnas_ray.benchmarks.cache import Row
from drnas_ray.config import CellRecipe
from drnas_ray.sweeps.spec.sweep import Resources
from drnas_ray.sweeps.train_cells.build import Train, build
from drnas_ray.sweeps.train_cells.plan import cells_of


def stub(pause_s: float) -> Train:
    def train(cell: str, seed: int) -> Row:
        time.sleep(pause_s)
        return {"status": "done", "val_acc_pct": 50.0, "finished_unix_s": time.time()}

    return train


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 6466
    pause_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    recipe = CellRecipe()
    cells = cells_of(f"{count}-random", recipe)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        begun = time.perf_counter()
        done = build(cells, (0,), recipe, out, resources=Resources(), make=partial(stub, pause_s))
        whole_s = time.perf_counter() - begun
        begun = time.perf_counter()
        again = build(cells, (0,), recipe, out, resources=Resources())
        again_s = time.perf_counter() - begun
        assert (done.done, again.known) == (count, count)
        kib = sum(path.stat().st_size for path in out.iterdir()) / 1024
        print(
            f"{count} cells of {pause_s:g} s: {count / done.wall_s:.0f} cells/s with workers "
            f"ready, {whole_s:.1f} s in all; {len(list(out.glob('part-*')))} files, {kib:.0f} KiB; "
            f"called again {again_s:.2f} s"
        )


if __name__ == "__main__":
    main()
