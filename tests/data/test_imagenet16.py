"""ImageNet16-120 from tiny files in the public format; hostile pickles stay powerless."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data import imagenet16
from drnas_ray.data.catalog import load_test, load_train
from drnas_ray.data.facts import DATASETS

SETTINGS = DataSettings(name="imagenet16-120")


def entry(number: int) -> dict:
    """12 images of labels 1, 120, 121, 1000 and others; 7 of them within 1..120."""
    data = np.random.RandomState(number).randint(0, 256, (12, 768), dtype=np.uint8)
    return {"data": data, "labels": [1, 120, 121, 1000, 5, 5, 60, 999, 2, 300, 400, 119]}


def fewer_images(patch: pytest.MonkeyPatch, train: int, test: int) -> None:
    """Let the table of data sets expect so many."""
    name = SETTINGS.name
    patch.setitem(DATASETS, name, replace(DATASETS[name], train_images=train, test_images=test))


def python2(value: dict) -> bytes:
    """What Python 2 and numpy 1 wrote: byte strings, align and copy as integers, old module."""
    data = value["data"]
    raw = data.tobytes()
    labels = b"".join(b"M" + label.to_bytes(2, "little") for label in value["labels"])
    return (
        b"\x80\x02}(U\x04data" + b"cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K" + bytes([len(data)]) + b"M\x00\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labels](" + labels + b"eu."
    )  # fmt: skip


@pytest.fixture
def put(root: Path, monkeypatch: pytest.MonkeyPatch):
    """Write one file of ImageNet16 and have its md5 sum believed."""

    def make(name: str, content: bytes, believed: bool = True) -> None:
        folder = root / "ImageNet16"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        if believed:
            part = "test" if name == "val_data" else "train"
            monkeypatch.setitem(imagenet16.MD5[part], name, hashlib.md5(content).hexdigest())

    return make


@pytest.fixture
def tiny(put, monkeypatch: pytest.MonkeyPatch):
    """All eleven files, written by each way of pickling in turn."""
    ways = [python2, *(lambda value, p=p: pickle.dumps(value, p) for p in (2, 3, 4, 5))]
    for number in range(1, 11):
        put(f"train_data_batch_{number}", ways[number % 5](entry(number)))
    put("val_data", pickle.dumps(entry(0), protocol=2))
    fewer_images(monkeypatch, 70, 7)


KEPT = [0, 1, 4, 5, 6, 8, 11]


def test_the_first_120_classes_are_kept_in_the_order_of_the_files(tiny, root: Path):
    info, train = load_train(SETTINGS, root)
    expected = [entry(number)["data"][KEPT].reshape(-1, 3, 16, 16) for number in range(1, 11)]
    assert torch.equal(train.images, torch.from_numpy(np.concatenate(expected)))
    assert train.labels.tolist() == [0, 119, 4, 4, 59, 1, 118] * 10
    assert info.classes == 120 and info.class_names[0] == "1"
    assert (info.height, info.crop_padding, info.flip) == (16, 2, True)
    assert info.std == pytest.approx((63.22 / 255, 61.26 / 255, 65.09 / 255))
    test = load_test(SETTINGS, root)
    assert torch.equal(test.images, torch.from_numpy(entry(0)["data"][KEPT]).view(-1, 3, 16, 16))


def test_a_second_load_reads_the_kept_pixels_until_a_file_changes(tiny, root: Path, put):
    _, first = load_train(SETTINGS, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagenet16, "_read_files", None)
        assert torch.equal(load_train(SETTINGS, root)[1].images, first.images)
    put("train_data_batch_3", pickle.dumps(entry(33)))
    assert not torch.equal(load_train(SETTINGS, root)[1].images, first.images)


def test_a_missing_file_is_named_with_its_place(tiny, root: Path):
    (root / "ImageNet16" / "train_data_batch_7").unlink()
    with pytest.raises(UserError) as caught:
        load_train(SETTINGS, root)
    text = str(caught.value)
    assert str(root / "ImageNet16" / "train_data_batch_7") in text and "is missing" in text
    assert "downsampled ImageNet" in text and "\n" not in text


def test_a_wrong_checksum_is_refused_before_anything_is_unpickled(tiny, root: Path, put):
    put("val_data", pickle.dumps(Hostile(root / "ran")), believed=False)
    with pytest.raises(UserError, match=r"val_data has md5 [0-9a-f]{32} instead of [0-9a-f]{32}"):
        load_test(SETTINGS, root)
    assert not (root / "ran").exists()


def test_a_wrong_count_is_refused(tiny, root: Path, monkeypatch):
    fewer_images(monkeypatch, 151_700, 6_000)
    with pytest.raises(UserError, match="contain 70 images of classes 1 to 120, not 151700"):
        load_train(SETTINGS, root)


class Hostile:
    def __init__(self, target: Path, how: str = "mkdir") -> None:
        self.target, self.how = target, how

    def __reduce__(self):
        if self.how == "eval":
            return eval, (f"__import__('os').mkdir({str(self.target)!r})",)
        return os.mkdir, (str(self.target),)


def test_hostile_pickles_do_not_run(tiny, root: Path, put):
    target = root / "ran"
    Hostile(target).__reduce__()[0](str(target))  # it would work
    target.rmdir()
    objects = np.array([Hostile(target)], dtype=object)
    for value in (
        Hostile(target),
        Hostile(target, "eval"),
        {**entry(0), "extra": Hostile(target)},
        {"data": objects, "labels": [1]},
    ):
        for protocol in (2, 5):
            put("val_data", pickle.dumps(value, protocol))
            with pytest.raises(UserError, match=r"val_data can't be read \(it (asks for|contains)"):
                load_test(SETTINGS, root)
            assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps(entry(0))[:200],
        pickle.dumps([1, 2]),
        pickle.dumps({"data": entry(0)["data"]}),
        pickle.dumps({**entry(0), "labels": [1, 2]}),
        pickle.dumps({**entry(0), "labels": ["a"] * 12}),
        pickle.dumps({**entry(0), "data": entry(0)["data"].astype(np.float32)}),
        pickle.dumps({**entry(0), "data": entry(0)["data"][:, :700]}),
    ],
)
def test_other_contents_are_refused_in_one_line(tiny, root: Path, put, content: bytes):
    put("val_data", content)
    with pytest.raises(UserError, match="val_data can't be read") as caught:
        load_test(SETTINGS, root)
    assert "\n" not in str(caught.value)


def test_the_checksums_are_those_of_eleven_files():
    sums = [value for part in imagenet16.MD5.values() for value in part.values()]
    assert len(set(sums)) == 11 and all(len(value) == 32 for value in sums)
    assert imagenet16.MD5["test"]["val_data"] == "3410e3017fdaefba8d5073aaa65e4bd6"
