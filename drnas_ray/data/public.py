"""CIFAR-10/100, SVHN and Fashion-MNIST, fetched and read through torchvision.

Some of these files are pickles; torchvision checks their md5 sums before it unpickles them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.exceptions import VisibleDeprecationWarning

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import facts_of
from drnas_ray.data.files import lock, one_line, writable_folder
from drnas_ray.data.images import ImageSet, Labels, Part, Pixels


@dataclass(frozen=True)
class Source:
    """A torchvision data set: its class there, how to ask for a part, and where its files are."""

    torchvision_class: str
    parts: Mapping[Part, Mapping[str, Any]]
    place: str
    """The files under the root, as torchvision lays them out."""


_BY_FLAG: Mapping[Part, Mapping[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_BY_SPLIT: Mapping[Part, Mapping[str, Any]] = {
    "train": {"split": "train"},  # SVHN's half a million "extra" images are left out
    "test": {"split": "test"},
}

SOURCES: dict[str, Source] = {
    "cifar10": Source("CIFAR10", _BY_FLAG, "cifar-10-batches-py/*"),
    "cifar100": Source("CIFAR100", _BY_FLAG, "cifar-100-python/*"),
    "svhn": Source("SVHN", _BY_SPLIT, "*_32x32.mat"),
    "fashion-mnist": Source("FashionMNIST", _BY_FLAG, "FashionMNIST/raw/*-ubyte"),
}


class _Absent(Exception):
    """The files are missing, or their md5 sums are wrong."""


def read_public(settings: DataSettings, root: Path, part: Part) -> tuple[tuple[str, ...], ImageSet]:
    """One part of the torchvision data set `settings.name`; missing files are downloaded."""
    name = settings.name
    try:
        names, images, labels = _load(name, root, part)
    except _Absent:
        # One process downloads; the others wait here and then find the files.
        with lock(root, name):
            try:
                names, images, labels = _load(name, root, part)
            except _Absent:
                _download(name, root)
                names, images, labels = _load(name, root, part)
    expected = facts_of(name).count(part)
    if len(images) != expected or len(labels) != expected:
        raise UserError(
            f"{name} under {root} contains {len(images)} {part} images and {len(labels)} labels "
            f"instead of {expected}: delete {SOURCES[name].place} there to have it downloaded again"
        )
    return names, ImageSet.from_arrays(images, labels)


def _load(name: str, root: Path, part: Part) -> tuple[tuple[str, ...], Pixels, Labels]:
    """Raises _Absent where files must be downloaded, UserError where they can't be read."""
    try:
        data = _torchvision(name, root, part, download=False)
    except RuntimeError as error:
        if "not found" in str(error):
            raise _Absent from error
        raise _damaged(name, root, error) from error
    except (OSError, ValueError, AssertionError, EOFError, KeyError, TypeError) as error:
        raise _damaged(name, root, error) from error
    images = np.asarray(data.data)
    labels = np.asarray(data.labels if name == "svhn" else data.targets, dtype=np.int64)
    if images.ndim == 3:  # grey, without a channel axis
        images = images[:, None]
    elif images.shape[3] == 3:  # CIFAR comes with channels last, SVHN with channels first
        images = images.transpose(0, 3, 1, 2)
    names = getattr(data, "classes", [str(digit) for digit in range(10)])
    return tuple(names), images, labels


def _torchvision(name: str, root: Path, part: Part, download: bool) -> Any:
    from torchvision import datasets  # noqa: PLC0415 - slow to import

    source = SOURCES[name]
    with warnings.catch_warnings():
        # CIFAR's own pickles date from Python 2 and give numpy's dtype 0 or 1 where it wants a
        # bool; numpy 2.4.6 lets that pass in pickles, other versions may warn the user of it.
        warnings.filterwarnings("ignore", r"dtype\(\): align", VisibleDeprecationWarning)
        return getattr(datasets, source.torchvision_class)(
            str(root), download=download, **source.parts[part]
        )


def _download(name: str, root: Path) -> None:
    """Fetch both parts into a temporary folder, then move each file into place."""
    source = SOURCES[name]
    with tempfile.TemporaryDirectory(dir=writable_folder(root), prefix=f".{name}-") as aside:
        try:
            for part in source.parts:
                _torchvision(name, Path(aside), part, download=True)
        except (OSError, RuntimeError, EOFError, HTTPException) as error:  # URLError is an OSError
            raise UserError(
                f"{name} is missing or damaged under {root} and can't be downloaded "
                f"({one_line(error)}): connect this machine to the network, or put "
                f"{source.place} there"
            ) from error
        for file in sorted(Path(aside).rglob("*")):
            if file.is_file() and file.suffix != ".gz":  # archives were unpacked beside themselves
                target = root / file.relative_to(aside)
                writable_folder(target.parent)
                file.replace(target)


def _damaged(name: str, root: Path, error: BaseException) -> UserError:
    return UserError(
        f"{name} under {root} is damaged ({one_line(error)}): delete {SOURCES[name].place} there "
        f"to have it downloaded again"
    )
