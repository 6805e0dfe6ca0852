"""Opening a benchmark table in a new process: time, memory, look-ups per second; pandas too.

`python benchmarks/bench_table.py TABLE.parquet`. Each number is the median of five processes; time
and memory are what opening and the first query add to an interpreter with pyarrow loaded.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from drnas_ray.spaces.nb201 import NB201

HEAD = """
import json, resource, sys, time
import numpy as np, pyarrow, pyarrow.parquet
def mib():
    with open("/proc/self/status") as file:
        return int(next(l for l in file if l.startswith("VmHWM")).split()[1]) / 1024
before, start = mib(), time.perf_counter()
"""
OURS = """
from drnas_ray.benchmarks.table import CellTable
table = CellTable.open(sys.argv[1])
first = table.test(CELL)
first_s, peak = time.perf_counter() - start, mib() - before
def many(cells): return table.test(cells)
"""
PANDAS = """
import pandas as pd
frame = pd.read_parquet(sys.argv[1]).set_index("arch" if isinstance(CELL, str) else "arch_index")
first = float(frame.loc[CELL, "cifar10_test_acc_200"])
first_s, peak = time.perf_counter() - start, mib() - before
def many(cells): return frame.loc[cells, "cifar10_test_acc_200"].to_numpy()
"""
TAIL = """
cells = np.random.default_rng(0).integers(0, 15_625, COUNT)
if isinstance(CELL, str):
    from drnas_ray.spaces.nb201 import NB201
    cells = [NB201().cell(int(cell)) for cell in cells]
many(cells[:10])
start = time.perf_counter()
found = many(cells)
rate = len(cells) / (time.perf_counter() - start)
print(json.dumps({"first_s": first_s, "peak_mib": peak, "per_s": rate, "value": first}))
"""
CELL = NB201().cell(9930)


def measured(body: str, cell: object, count: int, path: str) -> dict[str, float]:
    code = f"{HEAD}CELL, COUNT = {cell!r}, {count}\n{body}{TAIL}"
    runs = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout))
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for kind, cell, count in (("by index", 9930, 1_000_000), ("by string", CELL, 100_000)):
        for name, body in (("drnas_ray", OURS), ("pandas", PANDAS)):
            got = measured(body, cell, count, sys.argv[1])
            print(
                f"{kind:9}  {name:9}  open and first query {got['first_s'] * 1e3:6.0f} ms  "
                f"{got['peak_mib']:6.1f} MiB  {got['per_s'] / 1e6:8.2f} million look-ups/s  "
                f"({got['value']:.2f})"
            )


if __name__ == "__main__":
    main()
