"""Images in class folders: path/train/<class>/ and path/test/<class>/, or path/<class>/.

Without a train/ folder a fixed fifth of each class is held out as the test part. Files are sorted
by class, which would put whole classes into one half of a search, so training images are put into a
fixed mixed order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.decode import DECODER, decode_all
from drnas_ray.data.facts import side_of
from drnas_ray.data.files import decode_once, fingerprint
from drnas_ray.data.images import ImageSet, Labels, Part
from drnas_ray.data.splits import held_out_split, mixed_order

SUFFIXES = {
    ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


def check_folder(path: Path) -> None:
    """Raise UserError where `path` can't be a set of class folders; no image is opened."""
    if not path.is_dir():
        raise UserError(
            f"data.path={path} is not a folder: give the one that contains the class folders"
        )
    if (path / "train").is_dir() and not (path / "test").is_dir():
        raise UserError(
            f"data.path={path} contains train/ but no test/: add it, or give {path / 'train'} to "
            f"have a fixed fifth of it held out"
        )
    top = path / "train" if (path / "train").is_dir() else path
    classes = _class_folders(top)
    if len(classes) < 2:
        raise UserError(
            f"{top} contains {len(classes)} class folders: put the images into one folder per "
            f"class, for 2 classes or more"
        )


def read_folder(settings: DataSettings, root: Path, part: Part) -> tuple[tuple[str, ...], ImageSet]:
    """One part, RGB, resized to image_size x image_size; classes are the sorted folder names."""
    path = Path(str(settings.path))
    check_folder(path)
    side = side_of(settings)
    names, files, labels = _listing(path, part)
    images, labels = decode_once(
        root,
        ["folder", part, str(side), DECODER, *fingerprint(files)],
        lambda: (decode_all([(str(file), file) for file in files], side), labels),
    )
    return names, ImageSet.from_arrays(images, labels)


def _listing(path: Path, part: Part) -> tuple[tuple[str, ...], list[Path], Labels]:
    """Class names, and the files of one part with their classes, in their final order."""
    split_by_hand = (path / "train").is_dir()
    top = path / "train" if split_by_hand else path
    names = tuple(folder.name for folder in _class_folders(top))
    source = path / part if split_by_hand else path
    files, labels = _files(source, names)
    chosen = np.arange(len(files))
    if not split_by_hand:
        chosen = held_out_split(labels)[part == "test"]
    if part == "train":
        chosen = chosen[mixed_order(labels[chosen])]
    return names, [files[i] for i in chosen], labels[chosen]


def _files(top: Path, names: tuple[str, ...]) -> tuple[list[Path], Labels]:
    """All image files under the class folders of `top`, class by class."""
    files: list[Path] = []
    labels: list[int] = []
    for folder in _class_folders(top):
        if folder.name not in names:
            raise UserError(
                f"{folder} is a class without training images: known: {', '.join(names)}"
            )
        found = sorted(f for f in folder.iterdir() if _is_image(f))
        if not found:
            raise UserError(f"{folder} contains no images: put files such as .png or .jpg there")
        files += found
        labels += [names.index(folder.name)] * len(found)
    if not files:
        raise UserError(f"{top} contains no class folders: expected {', '.join(names)}")
    return files, np.array(labels, dtype=np.int64)


def _is_image(file: Path) -> bool:
    """A file of a known kind; not a broken link or a hidden `._` file of some file systems."""
    visible = not file.name.startswith(".")
    return visible and file.suffix.lower() in SUFFIXES and file.is_file()


def _class_folders(top: Path) -> list[Path]:
    return sorted(f for f in top.iterdir() if f.is_dir() and not f.name.startswith("."))
