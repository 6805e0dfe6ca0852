"""Settings refused in one line, digits, subsets, statistics, the image set itself."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data import digits
from drnas_ray.data.catalog import (
    channel_statistics,
    check_data,
    load_test,
    load_train,
    prepare,
    search_halves,
)
from drnas_ray.data.facts import DATASETS, DataShape, shape_of, side_of
from drnas_ray.data.files import data_root, decode_once
from drnas_ray.data.images import ImageSet

DIGITS = DataSettings(name="digits")


def rows_of(data: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.images}


def test_digits_are_those_of_scikit_learn_each_in_one_part(root: Path):
    _, train = load_train(DIGITS, root)
    test = load_test(DIGITS, root)
    assert (len(train), len(test)) == (1437, 360)
    images = torch.cat([train.images, test.images])
    assert (images.min(), images.max()) == (0, 255)
    grey = (images[:, 0].double() / 255 * 16).round().numpy()
    bunch = load_digits()
    original = sorted(
        (image.tobytes(), label) for image, label in zip(bunch.images, bunch.target, strict=True)
    )
    labels = torch.cat([train.labels, test.labels]).tolist()
    assert sorted(zip((g.tobytes() for g in grey), labels, strict=True)) == original
    assert not rows_of(train) & rows_of(test)
    assert test.labels.bincount().min() >= 34


def test_search_halves_are_disjoint_and_hold_all_classes_evenly(root: Path):
    info, weights, arch = search_halves(DIGITS, root)
    assert (len(weights), len(arch)) == (718, 719)
    assert (weights.labels.bincount() - arch.labels.bincount()).abs().max() <= 1
    assert not rows_of(weights) & rows_of(arch)
    _, train = load_train(DIGITS, root)
    assert torch.equal(torch.cat([weights.images, arch.images]), train.images)
    assert (info.classes, info.channels, info.height, info.width) == (10, 1, 8, 8)
    assert (info.crop_padding, info.flip, info.cutout) == (1, False, 0)


def test_settings_override_the_habits_of_a_data_set(root: Path):
    settings = DataSettings(name="digits", crop_padding=0, flip=True, cutout=4)
    info, _ = load_train(settings, root)
    assert (info.crop_padding, info.flip, info.cutout) == (0, True, 4)


def test_train_images_are_balanced_in_order_and_normalised_like_the_whole(root: Path):
    whole_info, whole = load_train(DIGITS, root)
    info, some = load_train(DataSettings(name="digits", train_images=55), root)
    assert info == whole_info
    assert sorted(some.labels.bincount().tolist()) == [5] * 5 + [6] * 5
    place = {image.numpy().tobytes(): i for i, image in enumerate(whole.images)}
    positions = [place[image.numpy().tobytes()] for image in some.images]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DataSettings(name="cifar"), "unknown data set 'cifar': did you mean 'cifar10'"),
        (
            DataSettings(name="digits", path="/x"),
            "data.path=/x does not apply to data set 'digits'",
        ),
        (DataSettings(name="cifar10", image_size=32), "data.image_size=32 does not apply"),
        (DataSettings(name="folder"), "data set 'folder' needs data.path"),
        (DataSettings(name="parquet"), "data set 'parquet' needs data.path"),
        (DataSettings(name="folder", path="/no/such"), "data.path=/no/such doesn't exist"),
        (DataSettings(name="parquet", path="/no/such"), "data.path=/no/such doesn't exist"),
        (DataSettings(name="digits", cutout=9), "data.cutout=9 is wider than the 8 pixels"),
        (DataSettings(name="digits", train_images=1438), "train_images=1438 is more than the 1437"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(settings: DataSettings, message: str):
    with pytest.raises(UserError) as caught:
        check_data(settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError):
        load_test(settings, None)


def test_every_data_set_has_settings_that_pass_the_check(tmp_path: Path):
    named = {name for name, facts in DATASETS.items() if not facts.takes_path}
    assert named == set(DATASETS) - {"folder", "parquet"}
    for name in named:
        check_data(DataSettings(name=name))


def test_every_reader_and_path_check_in_the_table_exists():
    for facts in DATASETS.values():
        for name in filter(None, (facts.reader, facts.path_check)):
            assert callable(resolve_name(name))


def test_the_table_agrees_with_the_images_of_digits(root: Path):
    facts, (info, train) = DATASETS["digits"], load_train(DIGITS, root)
    assert (len(train), len(load_test(DIGITS, root))) == (facts.count("train"), facts.count("test"))
    assert shape_of(DIGITS) == DataShape(info.channels, info.classes, info.width)


def test_own_files_need_their_number_of_classes():
    data = DataSettings(name="folder", path="/x/flowers", image_size=24)
    assert shape_of(data, 7) == DataShape(3, 7, 24)
    assert side_of(DataSettings(name="folder", path="/x")) == 32
    assert shape_of(DataSettings(name="cifar100"), None).classes == 100
    with pytest.raises(UserError, match=r"folder:flowers.*--classes N"):
        shape_of(data)
    with pytest.raises(UserError, match="unknown data set 'cifar': did you mean 'cifar10'"):
        shape_of(DataSettings(name="cifar"))


def test_cifar_and_imagenet_habits_are_those_of_the_paper():
    cifar, imagenet = DATASETS["cifar10"], DATASETS["imagenet16-120"]
    assert (cifar.crop_padding, cifar.flip, cifar.side) == (4, True, 32)
    assert (imagenet.crop_padding, imagenet.flip, imagenet.side) == (2, True, 16)
    assert imagenet.statistics is not None
    assert imagenet.statistics[0] == pytest.approx([0.48110, 0.45749, 0.40788], abs=1e-5)
    assert not DATASETS["svhn"].flip


def test_channel_statistics_equal_numpy_in_double_precision():
    pixels = np.random.RandomState(0).randint(0, 256, (50, 3, 7, 5), dtype=np.uint8)
    pixels[:, 2] = 7  # a channel that never varies
    mean, std = channel_statistics(ImageSet.from_arrays(pixels, np.zeros(50, dtype=np.int64)))
    unit = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(mean, unit.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std[:2], unit.std(axis=(0, 2, 3))[:2], rtol=1e-12)
    assert std[2] == 1 / 255


def test_a_search_never_reads_the_test_part(root: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    read = digits.read_digits

    def spy(settings, root, part):
        asked.append(part)
        return read(settings, root, part)

    monkeypatch.setattr(digits, "read_digits", spy)
    search_halves(DIGITS, root)
    assert asked == ["train"]
    prepare(DIGITS, root)
    assert asked == ["train", "train", "test"]


def test_the_root_is_the_argument_then_the_variable_then_the_home_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DRNAS_DATA_ROOT", str(tmp_path / "named"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root(None) == tmp_path / "named"
    monkeypatch.delenv("DRNAS_DATA_ROOT")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root(None) == tmp_path / ".cache" / "drnas-ray"


def test_decoded_images_are_cached_and_decoded_again_when_damaged(root: Path):
    calls = []

    def make():
        calls.append(1)
        return np.full((2, 3, 4, 4), 9, dtype=np.uint8), np.array([0, 1])

    for _ in range(2):
        images, labels = decode_once(root, ["a"], make)
        assert images.sum() == 9 * 96 and labels.tolist() == [0, 1]
    assert len(calls) == 1
    decode_once(root, ["b"], make)
    assert len(calls) == 2
    files = list((root / "decoded").iterdir())
    assert len(files) == 2 and all(file.suffix == ".npz" for file in files)
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    decode_once(root, ["a"], make)
    decode_once(root, ["a"], make)
    assert len(calls) == 3


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't write .*file.*DRNAS_DATA_ROOT"):
        decode_once(
            tmp_path / "file", ["a"], lambda: (np.zeros((0, 3, 4, 4), np.uint8), np.zeros(0))
        )


def test_image_sets_refuse_wrong_types_and_shapes():
    images, labels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4)
    data = ImageSet(images, labels)
    assert data.take(torch.tensor([3, 1])).labels.tolist() == [3, 1]
    assert len(data.take(slice(1, None))) == 3 and len(data.to("cpu")) == 4
    for bad in [(images.float(), labels), (images[0], labels), (images, labels[:3])]:
        with pytest.raises(ValueError, match="must be"):
            ImageSet(*bad)
    with pytest.raises(ValueError, match="int64"):
        ImageSet(images, labels.int())
    with pytest.raises(ValueError, match="share a device"):
        ImageSet(images, labels.to("meta"))
