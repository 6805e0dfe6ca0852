"""Import of a synthetic NAS-Bench-201 file of full size: seconds and peak memory.

`python benchmarks/bench_import.py [CELLS]` writes a file in the format of v1.1 (torch.save's old
container, protocol 2, 1,000 cells per batch, values numbered through the whole file as Python's
pickler does; 4.7 GB for 15,625 cells) and imports it in a process of its own.
"""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drnas_ray.spaces.nb201 import NB201

SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
MAGIC = 0x1950A86A20F9469CFC6C


class Emitter:
    """Protocol 2 opcodes, with the offsets of all memo numbers so that they can be shifted."""

    def __init__(self) -> None:
        self.data, self.places, self.numbers = bytearray(), [], []
        self.texts: dict[str, int] = {}
        self.count = 0

    def number(self, op: bytes, value: int) -> None:
        self.data += op
        self.places.append(len(self.data))
        self.numbers.append(value)
        self.data += b"\0\0\0\0"

    def memoise(self) -> int:
        self.number(b"r", self.count)
        self.count += 1
        return self.count - 1

    def put(self, value: object) -> None:
        if value is None:
            self.data += b"N"
        elif isinstance(value, int):
            self.data += b"J" + struct.pack("<i", value)
        elif isinstance(value, float):
            self.data += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            if value in self.texts:
                self.number(b"j", self.texts[value])
            else:
                raw = value.encode()
                self.data += b"X" + struct.pack("<I", len(raw)) + raw
                self.texts[value] = self.memoise()
        elif isinstance(value, tuple):
            for part in value:
                self.put(part)
            self.data += b"\x86"
            self.memoise()
        elif isinstance(value, list):
            self.data += b"]"
            self.memoise()
            self.data += b"("
            for part in value:
                self.put(part)
            self.data += b"e"
        else:
            assert isinstance(value, dict)
            self.data += b"}"
            self.memoise()
            self.data += b"("
            for key, part in value.items():
                self.put(key)
                self.put(part)
            self.data += b"u"


def results(epochs: int, seeds: list[int], arch: str) -> dict[str, object]:
    curve = {epoch: 50.0 + epoch / 7 for epoch in range(epochs)}
    runs = {}
    for name, sets in SETS.items():
        evals = {f"{s}@{e}": 40.0 + e / 9 for s in sets for e in range(epochs)}
        for seed in seeds:
            runs[name, seed] = {
                "name": name, "net_state_dict": None, "train_acc1es": curve, "train_acc5es": curve,
                "train_losses": curve, "train_times": curve,
                "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10},
                "params": 1.0, "flop": 2.0, "seed": seed, "epochs": epochs, "latency": [0.01] * 3,
                "eval_names": list(sets), "eval_acc1es": evals, "eval_times": evals,
                "eval_losses": evals,
            }  # fmt: skip
    return {
        "arch_index": 0, "arch_str": arch, "all_results": runs,
        "dataset_seed": dict.fromkeys(SETS, seeds), "clear_net_done": True,
    }  # fmt: skip


def write(file: BinaryIO, cells: int) -> None:
    """Write the file. 14 % of the cells have one seed, 35 % two and 51 % three."""
    space = NB201()
    for head in (MAGIC, 1001, {"little_endian": True}):
        file.write(pickle.dumps(head, 2))
    file.write(b"\x80\x02}(X\x0a\0\0\0arch2infos}(")
    base, mark = 1 << 16, "A" * len(space.cell(0))
    templates = {}
    for runs in (1, 2, 3):
        emitter = Emitter()
        seeds = [777, 888, 999][:runs]
        emitter.put({"full": results(200, seeds, mark), "less": results(12, [777], mark)})
        templates[runs] = emitter
    base = 0
    for index in range(cells):
        arch = space.cell(index)
        runs = 1 + (index % 100 > 13) + (index % 100 > 48)
        emitter = templates[runs]
        data = np.frombuffer(bytes(emitter.data), np.uint8).copy()
        places = np.array(emitter.places)
        values = np.array(emitter.numbers, np.uint32) + base
        data[places[:, None] + np.arange(4)] = values.astype("<u4")[:, None].view(np.uint8)
        base += emitter.count
        raw = data.tobytes().replace(
            b"X" + struct.pack("<I", len(mark)) + mark.encode(),
            b"X" + struct.pack("<I", len(arch)) + arch.encode(),
        )
        file.write(b"J" + struct.pack("<i", index) + raw)
        if index % 1000 == 999:
            file.write(b"u(")
    file.write(b"u")
    file.write(b"X\x0a\0\0\0meta_archs](")
    for arch in (space.cell(index) for index in range(space.size)):
        file.write(b"X" + struct.pack("<I", len(arch)) + arch.encode())
    file.write(b"eX\x11\0\0\0evaluated_indexes](" + b"e" + b"u.")
    file.write(pickle.dumps([], 2))


CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy, pyarrow.parquet
from drnas_ray.importers.convert import import_benchmark
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
done = import_benchmark(Path(sys.argv[1]), Path(sys.argv[2]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"cells": done.cells, "wall_s": round(time.perf_counter() - start, 1),
                  "least_mib": done.numbered * 8 // 2**20, "peak_mib": after // 1024,
                  "before_mib": before // 1024}))
"""


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 15_625
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "made-up.pth", Path(folder) / "table.parquet"
        start = time.perf_counter()
        with source.open("wb") as file:
            write(file, cells)
        size = source.stat().st_size / 1e9
        print(f"{cells} cells, {size:.2f} GB, written in {time.perf_counter() - start:.0f} s")
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(source), str(target)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(json.dumps(json.loads(done.stdout) | {"table_mb": target.stat().st_size / 1e6}))


if __name__ == "__main__":
    main()
