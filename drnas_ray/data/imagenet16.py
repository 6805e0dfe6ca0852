"""ImageNet16-120: classes 1..120 of ImageNet at 16x16 pixels, as NAS-Bench-201 uses it.

Downsampled ImageNet: Chrabaszcz et al. 2017, arXiv:1707.08819; the choice of classes: Dong & Yang
2020, arXiv:2001.00326. The files are pickles. After their md5 sums were checked, they are read by
an unpickler that can build numbers, strings, lists, dicts and plain numpy arrays, nothing else.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct, scalar
from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import facts_of, shape_of
from drnas_ray.data.files import decode_once, fingerprint, one_line
from drnas_ray.data.images import ImageSet, Labels, Part, Pixels

FOLDER = "ImageNet16"
MD5: dict[Part, dict[str, str]] = {
    "train": {
        "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
        "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
        "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
        "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
        "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
        "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
        "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
        "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
        "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
        "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    },
    "test": {"val_data": "3410e3017fdaefba8d5073aaa65e4bd6"},
}
NAME = "imagenet16-120"
SHAPE = shape_of(DataSettings(name=NAME))


def read_imagenet16_120(
    settings: DataSettings, root: Path, part: Part
) -> tuple[tuple[str, ...], ImageSet]:
    """One part; the public validation images are the test part. Classes are named "1".."120"."""
    folder = root / FOLDER
    files = [folder / name for name in MD5[part]]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{file} is missing: put the public 16x16 files of downsampled ImageNet "
                f"(train_data_batch_1 to 10 and val_data, https://image-net.org/download-images, "
                f"account needed) into {folder}"
            )
    # New files are checked and unpickled, a gigabyte; later the cached pixels are enough.
    images, labels = decode_once(
        root, [NAME, part, *fingerprint(files)], lambda: _read_files(folder, part)
    )
    names = tuple(str(label) for label in range(1, SHAPE.classes + 1))
    return names, ImageSet.from_arrays(images, labels)


def _read_files(folder: Path, part: Part) -> tuple[Pixels, Labels]:
    read = [_read_file(folder / name, md5) for name, md5 in MD5[part].items()]
    images = np.concatenate([images for images, _ in read])
    labels = np.concatenate([labels for _, labels in read])
    expected = facts_of(NAME).count(part)
    if len(images) != expected:
        raise UserError(
            f"the {part} files in {folder} contain {len(images)} images of classes 1 to "
            f"{SHAPE.classes}, not {expected}: put the complete public files there"
        )
    return images, labels


def _read_file(path: Path, md5: str) -> tuple[Pixels, Labels]:
    """The images of the first 120 classes in one file, in its order, labels from 0."""
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{path} has md5 {found} instead of {md5}: it is damaged or another file; "
            f"put the public one there"
        )
    entry = _unpickle(content, path)
    try:
        images = np.asarray(entry["data"]).reshape(-1, SHAPE.channels, SHAPE.side, SHAPE.side)
        labels = np.asarray(entry["labels"], dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise _other(path, error) from error
    if images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise _other(path, f"{images.dtype} images {images.shape}, labels {labels.shape}")
    keep = (labels >= 1) & (labels <= SHAPE.classes)
    return images[keep], labels[keep] - 1


def _unpickle(content: bytes, path: Path) -> Any:
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError,
        IndexError, OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise _other(path, error) from error


def _other(path: Path, reason: BaseException | str) -> UserError:
    text = reason if isinstance(reason, str) else one_line(reason)
    return UserError(
        f"{path} can't be read ({text}): expected a pickled dict with 'data', uint8 (n, 768), and "
        f"'labels', n numbers from 1 to 1000"
    )


def _plain_dtype(code: str, align: object = False, copy: object = True) -> np.dtype[Any]:
    """A dtype of numbers. Python 2 pickles give align and copy as 0 or 1, not as bool.

    Refuses objects and records, whose arrays run more code when they are filled. Always a copy:
    the pickle sets the dtype's state next, which must not reach numpy's own.
    """
    made = np.dtype(code, align=bool(align), copy=True)
    if made.kind not in "biuf":
        raise pickle.UnpicklingError(f"it contains values of type {made}")
    return made


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as used in pickles that Python 3 writes with protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _latin1,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy._core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Finds the few names in `_ALLOWED`; every other name is refused before anything runs."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return allowed
