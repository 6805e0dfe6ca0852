"""torchvision data sets from tiny files in the official formats: no network is used."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import load_test, load_train, prepare
from drnas_ray.data.facts import DATASETS

TINY = {"train": 20, "test": 10}


def pixels(n: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(n).randint(0, 256, (n, *shape), dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def tiny(patch: pytest.MonkeyPatch, name: str) -> None:
    patch.setitem(
        DATASETS,
        name,
        replace(DATASETS[name], train_images=TINY["train"], test_images=TINY["test"]),
    )


def no_download(self) -> None:
    raise RuntimeError("the network\nis down")


@pytest.fixture
def cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's five python batches and a test batch, 4 and 10 images; returns their folder."""
    tiny(monkeypatch, "cifar10")
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    train = pixels(20, 3072)
    for number in range(5):
        part = slice(4 * number, 4 * number + 4)
        entry = {"data": train[part], "labels": list(range(4 * number, 4 * number + 4))}
        entry["labels"] = [label % 10 for label in entry["labels"]]
        (folder / f"data_batch_{number + 1}").write_bytes(pickle.dumps(entry, protocol=2))
    entry = {"data": pixels(10, 3072), "labels": list(range(10))}
    (folder / "test_batch").write_bytes(pickle.dumps(entry, protocol=2))
    names = [f"class {n}" for n in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    sums = [[f"data_batch_{n}", md5(folder / f"data_batch_{n}")] for n in range(1, 6)]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    monkeypatch.setattr(datasets.CIFAR10, "download", no_download)
    return folder


def test_cifar10_planes_and_labels_come_from_the_right_bytes(cifar: Path, root: Path):
    info, train = load_train(DataSettings(name="cifar10"), root)
    expected = torch.from_numpy(pixels(20, 3072)).view(20, 3, 32, 32)
    assert torch.equal(train.images, expected)  # red plane first, row by row
    assert train.labels.tolist() == [n % 10 for n in range(20)]
    test = load_test(DataSettings(name="cifar10"), root)
    assert torch.equal(test.images, torch.from_numpy(pixels(10, 3072)).view(10, 3, 32, 32))
    assert info.class_names[3] == "class 3" and info.crop_padding == 4 and info.flip
    assert info.mean == (0.49139968, 0.48215827, 0.44653124)


def test_damaged_cifar_files_are_never_unpickled(cifar: Path, root: Path):
    target = root / "ran"
    hostile = b"cpathlib\nPath.touch\n(cpathlib\nPath\n(V" + str(target).encode() + b"\ntRtR."
    (cifar / "data_batch_2").write_bytes(hostile)
    with pytest.raises(UserError, match="cifar10 is missing or damaged under") as caught:
        load_train(DataSettings(name="cifar10"), root)
    assert "the network is down" in str(caught.value) and "\n" not in str(caught.value)
    assert not target.exists()


def test_a_download_goes_aside_and_lands_whole(
    cifar: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    official = {file.name: file.read_bytes() for file in cifar.iterdir()}
    where = []

    def download(self) -> None:
        if self._check_integrity():
            return
        where.append(Path(self.root))
        (Path(self.root) / "cifar-10-python.tar.gz").write_bytes(b"the archive")
        (Path(self.root) / self.base_folder).mkdir()
        for name, content in official.items():
            (Path(self.root) / self.base_folder / name).write_bytes(content)

    monkeypatch.setattr(datasets.CIFAR10, "download", download)
    fresh = tmp_path / "fresh"
    prepare(DataSettings(name="cifar10"), fresh)
    assert len(where) == 1 and where[0].parent == fresh and not where[0].exists()
    landed = {file.name: file.read_bytes() for file in (fresh / cifar.name).iterdir()}
    assert landed == official
    assert sorted(file.name for file in fresh.iterdir()) == [".cifar10.lock", cifar.name]
    prepare(DataSettings(name="cifar10"), fresh)
    assert len(where) == 1
    (fresh / cifar.name / "test_batch").write_bytes(b"")  # damaged: fetched again
    prepare(DataSettings(name="cifar10"), fresh)
    assert len(where) == 2


def test_cifar100_uses_fine_labels(root: Path, monkeypatch: pytest.MonkeyPatch):
    tiny(monkeypatch, "cifar100")
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, n in TINY.items():
        labels = [(7 * i) % 100 for i in range(n)]
        entry = {"data": pixels(n, 3072), "fine_labels": labels, "coarse_labels": [0] * n}
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))
    names = {"fine_label_names": [f"fine {n}" for n in range(100)]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    for part in TINY:
        monkeypatch.setattr(datasets.CIFAR100, f"{part}_list", [[part, md5(folder / part)]])
    monkeypatch.setattr(
        datasets.CIFAR100,
        "meta",
        {"filename": "meta", "key": "fine_label_names", "md5": md5(folder / "meta")},
    )
    info, train = load_train(DataSettings(name="cifar100"), root)
    assert info.classes == 100 and info.class_names[99] == "fine 99"
    assert train.labels.tolist() == [(7 * i) % 100 for i in range(20)]


def test_svhn_turns_class_10_into_0_and_moves_the_image_axis(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    tiny(monkeypatch, "svhn")
    root.mkdir()
    split_list = {}
    for part, n in TINY.items():
        file = root / f"{part}_32x32.mat"
        labels = np.array([i % 10 or 10 for i in range(n)], dtype=np.uint8)[:, None]
        savemat(file, {"X": pixels(n, 32, 32, 3).transpose(1, 2, 3, 0), "y": labels})
        split_list[part] = ["http://none", file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    info, train = load_train(DataSettings(name="svhn"), root)
    assert torch.equal(train.images, torch.from_numpy(pixels(20, 32, 32, 3)).permute(0, 3, 1, 2))
    assert train.labels.tolist() == [i % 10 for i in range(20)]
    assert not info.flip and info.class_names == tuple("0123456789")
    assert len(load_test(DataSettings(name="svhn"), root)) == 10


def idx(values: np.ndarray) -> bytes:
    """The IDX format: two zeros, the type (8: uint8), the number of axes, their lengths, bytes."""
    return (
        struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    )


@pytest.fixture
def fashion(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny(monkeypatch, "fashion-mnist")
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, n in [("train", 20), ("t10k", 10)]:
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(pixels(n, 28, 28)))
        labels = (np.arange(n) % 10).astype(np.uint8)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_fashion_mnist_is_grey_with_one_channel(fashion: Path, root: Path):
    info, train = load_train(DataSettings(name="fashion-mnist"), root)
    assert torch.equal(train.images, torch.from_numpy(pixels(20, 28, 28))[:, None])
    assert (info.channels, info.height) == (1, 28) and info.class_names[9] == "Ankle boot"
    assert info.mean[0] == pytest.approx(pixels(20, 28, 28).mean() / 255, rel=1e-12)
    assert load_test(DataSettings(name="fashion-mnist"), root).labels.tolist() == list(range(10))


@pytest.mark.parametrize("keep", [0, 3, 100])
def test_a_cut_off_fashion_mnist_file_is_reported(fashion: Path, root: Path, keep: int):
    file = fashion / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"fashion-mnist under .* is damaged .*: delete") as caught:
        load_train(DataSettings(name="fashion-mnist"), root)
    assert "\n" not in str(caught.value)


def test_too_few_images_are_reported(fashion: Path, root: Path):
    for kind, values in [("images-idx3", pixels(19, 28, 28)), ("labels-idx1", pixels(19))]:
        (fashion / f"train-{kind}-ubyte").write_bytes(idx(values))
    with pytest.raises(UserError, match="contains 19 train images and 19 labels instead of 20"):
        load_train(DataSettings(name="fashion-mnist"), root)


def test_fashion_mnist_is_fetched_when_absent(
    fashion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Through torchvision's own checks and unpacking; only the transfer itself is replaced."""
    official = tmp_path / "official"
    official.mkdir()
    resources = []
    for file in sorted(fashion.iterdir()):
        packed = official / f"{file.name}.gz"
        packed.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((packed.name, md5(packed)))
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(
        "torchvision.datasets.utils._urlretrieve",
        lambda url, target: shutil.copyfile(official / url.rsplit("/", 1)[1], target),
    )
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    fresh = tmp_path / "fresh"
    prepare(DataSettings(name="fashion-mnist"), fresh)
    landed = fresh / "FashionMNIST" / "raw"
    assert {f.name for f in landed.iterdir()} == {f.name for f in fashion.iterdir()}
