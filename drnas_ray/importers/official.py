"""NAS-Bench-201 (.pth) and NATS-Bench topology (.pickle.pbz2) files: their cells, one by one.

A single file has all cells under `arch2infos`; a folder (or its .tar) has one file per cell. Both
are read as a stream: only a batch of cells is in memory (Python's pickler writes 1,000 together).
"""

from __future__ import annotations

import bz2
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from drnas_ray.core.errors import UserError
from drnas_ray.importers.pickles import Machine
from drnas_ray.importers.trials import CellRecord, read_cell, reduce_trial
from drnas_ray.spaces.nb201 import NB201

Report = Callable[[int, int], None]
"""Called with how much has been read and the total (bytes, or files)."""
Take = Callable[[CellRecord], None]

_SPACE = NB201()
_CELL_FILE = re.compile(r"0*(\d{1,5})(-FULL)?\.(pickle\.pbz2|pth)")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def is_official(source: Path) -> bool:
    """Whether it is a folder, or a file with the suffix of an official file."""
    return source.is_dir() or source.name.endswith((".pth", ".pbz2", ".tar"))


def read_official(source: Path, take: Take, report: Report) -> int:
    """Pass every cell to `take`; returns how many values a single file numbers, 0 for a folder.

    A pickle may refer to any of those until its end, so they all have to be kept. Raises UserError,
    naming the file, if it is damaged or not an official file.
    """
    if source.is_dir():
        _read_folder(source, take, report)
    elif source.name.endswith(".tar"):
        _read_tar(source, take, report)
    else:
        return _read_single(source, take, report)
    return 0


@contextmanager
def _named(path: Path | str) -> Iterator[None]:
    """Errors inside name the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"benchmark file {path} {error}") from error
    except (EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"benchmark file {path} is truncated or damaged ({error})") from error
    except OSError as error:
        raise UserError(f"benchmark file {path} can't be read ({error})") from error


class _Counting:
    """A binary stream that reports how far it has been read."""

    def __init__(self, stream: BinaryIO, size: int, report: Report) -> None:
        self.stream, self.size, self.report = stream, size, report

    def read(self, count: int = -1) -> bytes:
        """As for a file."""
        data = self.stream.read(count)
        self.report(self.stream.tell(), self.size)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _read_single(path: Path, take: Take, report: Report) -> int:
    def reduce(found: dict[Any, Any], below: object) -> bool:
        if below == "arch2infos":
            for index, schedules in found.items():
                take(read_cell(index, schedules, _arch(index)))
            seen.update(found)
            found.clear()
            return True
        return _reduce(found, below)

    seen: set[int] = set()
    with _named(path), path.open("rb") as raw:
        counted = cast(BinaryIO, _Counting(raw, path.stat().st_size, report))
        content, numbered = _load(path.name, counted, reduce)
        if not isinstance(content, dict) or not content.keys() >= {"meta_archs", "arch2infos"}:
            raise UserError(
                "has no meta_archs and arch2infos: it is not a NAS-Bench-201 or NATS-tss file"
            )
        _check_order(content["meta_archs"])
        if not seen:
            raise UserError("has no cells")
    return numbered


def _reduce(found: dict[Any, Any], below: object) -> bool:
    if below == "all_results":
        return all(isinstance(run, dict) and "trial" in run for run in found.values())
    return reduce_trial(found)


def _load(
    name: str, stream: BinaryIO, reduce: Callable[[dict[Any, Any], object], bool]
) -> tuple[Any, int]:
    """The content of a .pickle.pbz2 or .pth file (both formats of torch.save), and how many values
    its pickle numbers.
    """
    if name.endswith(".pbz2"):
        with bz2.open(stream) as inner:
            machine = Machine(cast(BinaryIO, inner), reduce)
            content = machine.load()
            # The checksum is at the end of the stream, so read up to there.
            while inner.read(1 << 20):
                pass
            return content, machine.numbered
    start = stream.read(4)
    stream.seek(0)
    if start == b"PK\x03\x04":
        with zipfile.ZipFile(stream) as archive:
            inside = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            if len(inside) != 1:
                raise UserError("is a zip file without one data.pkl: torch.save did not write it")
            with archive.open(inside[0]) as pickled:
                machine = Machine(cast(BinaryIO, pickled), reduce)
                content = machine.load()
                while pickled.read(1 << 20):
                    pass
                return content, machine.numbered
    machine = Machine(stream, reduce)
    if machine.load() != _TORCH_MAGIC:
        raise UserError("was not written by torch.save")
    for _ in range(2):  # its protocol, and the machine that wrote it
        machine.load()
    content = machine.load()
    if not isinstance(machine.load(), list):  # names of tensors: nothing is truncated
        raise UserError("is damaged (no list of tensors at its end)")
    return content, machine.numbered


def _arch(index: Any) -> str:
    if not isinstance(index, int) or not 0 <= index < _SPACE.size:
        raise UserError(f"has a cell {str(index)[:40]!r}: cells are numbered 0 to 15624")
    return _SPACE.cell(index)


def _check_order(archs: Any) -> None:
    if not isinstance(archs, list) or len(archs) != _SPACE.size:
        raise UserError("does not list the 15,625 cells: it is not a topology-space file")
    for index, arch in enumerate(archs):
        if arch != _SPACE.cell(index):
            raise UserError(
                f"lists '{str(arch)[:120]}' as cell {index}: this is not the benchmark's order"
            )


def _read_member(name: str, stream: BinaryIO, take: Take) -> bool:
    """Read a file if its name is a cell's; returns whether it was."""
    match = _CELL_FILE.fullmatch(name)
    if match is None:
        if name.startswith("meta."):
            content, _ = _load(name, stream, _reduce)
            _check_order(content.get("meta_archs") if isinstance(content, dict) else None)
        return False
    index = int(match.group(1))
    take(read_cell(index, _load(name, stream, _reduce)[0], _arch(index)))
    return True


def _read_folder(folder: Path, take: Take, report: Report) -> None:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not any(_CELL_FILE.fullmatch(path.name) for path in files):
        raise UserError(f"folder {folder} has no files like 000000.pickle.pbz2")
    for done, path in enumerate(files):
        with _named(path), path.open("rb") as stream:
            _read_member(path.name, stream, take)
        report(done + 1, len(files))


def _read_tar(path: Path, take: Take, report: Report) -> None:
    cells = 0
    with _named(path), path.open("rb") as raw:
        counted = _Counting(raw, path.stat().st_size, report)
        with tarfile.open(fileobj=cast(BinaryIO, counted), mode="r|") as archive:
            for member in archive:
                inner = archive.extractfile(member) if member.isfile() else None
                if inner is not None:
                    name = Path(member.name).name
                    with _named(f"{path}: {name}"):
                        cells += _read_member(name, cast(BinaryIO, inner), take)
        if not cells:
            raise UserError("has no files like 000000.pickle.pbz2")
