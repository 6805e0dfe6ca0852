"""Parquet files of images in every accepted layout, and what is said when one doesn't fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from drnas_ray.config import DataSettings
from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import check_data, load_test, load_train, prepare, search_halves

CIFAR = Path(__file__).parents[3] / "shared" / "data" / "cifar10_jpeg.parquet"
HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def images(png, picture):
    """PNG bytes of the 8 x 8 pictures with these numbers."""
    return lambda numbers: [png(picture(number, 8, 8)) for number in numbers]


@pytest.fixture
def chw(picture):
    return lambda number: torch.from_numpy(picture(number, 8, 8).transpose(2, 0, 1).copy())


def write(path: Path, columns: dict, metadata: dict | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_a_split_column_keeps_rows_in_order_and_validation_out(tmp_path, root, images, chw, at):
    file = write(
        tmp_path / "images.parquet",
        {
            "image": images(range(12)),
            "label": pa.array([0, 1] * 6, pa.int8()),
            "label_name": pa.array(["ant", "bee"] * 6).dictionary_encode(),
            "split": ["train"] * 6 + ["validation", "valid"] + ["test"] * 4,
        },
    )
    settings = at("parquet", file, image_size=8)
    info, train = load_train(settings, root)
    assert info.class_names == ("ant", "bee")
    assert torch.equal(train.images, torch.stack([chw(i) for i in range(6)]))
    assert train.labels.tolist() == [0, 1] * 3
    test = load_test(settings, root)
    assert torch.equal(test.images, torch.stack([chw(i) for i in range(8, 12)]))
    kept_info, kept = load_train(settings, root)  # from the decoded copy
    assert kept_info == info and torch.equal(kept.images, train.images)


def test_the_hugging_face_layout(tmp_path, root, images, chw, at):
    names = ["zebra", "yak", "unseen"]
    features = {"img": {"_type": "Image"}, "fine_label": {"names": names, "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    for stem, numbers in [
        ("train-00000-of-00002", range(5)),
        ("train-00001-of-00002", range(5, 9)),
        ("test-00000-of-00001", range(20, 23)),
        ("validation-00000-of-00001", range(30, 32)),
    ]:
        rows = [{"bytes": b, "path": None} for b in images(numbers)]
        labels = [n % 2 for n in numbers]
        columns = {"img": pa.array(rows, HF_IMAGE), "fine_label": labels, "coarse_label": labels}
        write(tmp_path / "d" / f"{stem}.parquet", columns, metadata)
    settings = at("parquet", tmp_path / "d", image_size=8)
    info, train = load_train(settings, root)
    assert info.class_names == ("zebra", "yak", "unseen")
    assert torch.equal(train.images, torch.stack([chw(i) for i in range(9)]))
    assert train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    test = load_test(settings, root)
    assert torch.equal(test.images, torch.stack([chw(i) for i in range(20, 23)]))


def test_text_labels_odd_sizes_and_no_split(tmp_path, root, png, picture, at):
    numbers = range(40)
    encoded = [png(picture(n, 5 + n % 7, 6 + n % 11)) for n in numbers]
    labels = [["yes", "no", "maybe"][n % 3] for n in numbers]
    file = write(tmp_path / "x.parquet", {"image": encoded, "labels": labels})
    settings = at("parquet", file)
    info, train = load_train(settings, root)
    test = load_test(settings, root)
    assert info.class_names == ("maybe", "no", "yes") and (info.height, info.width) == (32, 32)
    assert (len(train), len(test)) == (32, 8)
    seen = {image.numpy().tobytes() for image in torch.cat([train.images, test.images])}
    assert len(seen) == 40
    assert test.labels.bincount().min() >= 2


def test_gapped_numbers_become_classes_in_order(tmp_path, root, images, at):
    columns = {"image": images(range(20)), "label": [7, -3] * 10}
    info, train = load_train(at("parquet", write(tmp_path / "x.parquet", columns)), root)
    assert info.class_names == ("-3", "7") and set(train.labels.tolist()) == {0, 1}


def test_rows_sorted_by_class_are_mixed_so_that_halves_share_them(tmp_path, root, images, at):
    columns = {"image": images(range(40)), "label": [0] * 20 + [1] * 20}
    file = write(tmp_path / "x.parquet", columns)
    _, weights, arch = search_halves(at("parquet", file), root)
    assert weights.labels.bincount().tolist() == arch.labels.bincount().tolist() == [8, 8]


def test_many_row_groups_and_batches_keep_images_with_their_labels(
    tmp_path, root, png, at, monkeypatch
):
    monkeypatch.setattr("drnas_ray.data.parquet.ROWS_AT_ONCE", 7)
    encoded = [png(np.full((4, 4, 3), n, dtype=np.uint8)) for n in range(50)]
    table = pa.table({"image": encoded, "label": [n % 5 for n in range(50)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=9)
    settings = at("parquet", tmp_path / "x.parquet", image_size=4)
    _, train = load_train(settings, root)
    test = load_test(settings, root)
    for data in (train, test):
        assert torch.equal(data.images[:, 0, 0, 0] % 5, data.labels)
    values = torch.cat([train.images, test.images])[:, 0, 0, 0]
    assert sorted(values.tolist()) == list(range(50))


def test_damaged_images_are_named_by_file_and_row(tmp_path, root, images, at):
    encoded = images(range(20))
    for bad in (encoded[13][:50], b"", b"no image"):
        columns = {"image": [*encoded[:13], bad, *encoded[14:]], "label": [0, 1] * 10}
        columns["split"] = ["test"] * 4 + ["train"] * 16
        settings = at("parquet", write(tmp_path / "x.parquet", columns))
        with pytest.raises(UserError, match=r"^row 13 of .*x.parquet can't be decoded .*expected"):
            prepare(settings, root)
    rows = [{"bytes": b, "path": "x"} for b in encoded[:7]] + [{"bytes": None, "path": "a.png"}] * 3
    columns = {"image": pa.array(rows, HF_IMAGE), "label": [0, 1] * 5}
    settings = at("parquet", write(tmp_path / "y.parquet", columns))
    with pytest.raises(UserError, match=r"^row \d of .*y.parquet has no image bytes"):
        prepare(settings, root)


GOOD = {"image": [b""] * 10, "label": [0, 1] * 5}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1] * 5, "picture": [b""] * 10}, "has no image column: expected 'image'"),
        ({"image": [b""] * 10}, "has no label column: expected 'label'; its columns are image"),
        (
            {"image": [b""] * 10, "fine_label": [0] * 10, "labels": [0] * 10},
            "has no label column",
        ),
        ({**GOOD, "image": ["x.png"] * 10}, "column 'image' of .* is string: expected binary"),
        ({**GOOD, "label": [0, None] * 5}, "row 1 of .* has label None: expected a whole number"),
        ({**GOOD, "label": [0.0, 1.5] * 5}, "row 0 of .* has label 0.0: expected a whole number"),
        ({**GOOD, "label": [[0], [1]] * 5}, r"row 0 of .* has label \[0\]: expected"),
        ({**GOOD, "label": [3] * 10}, "has one class, '3': expected 2 or more"),
        ({**GOOD, "split": ["train", "dev"] * 5}, "row 1 of .* has split 'dev': expected train"),
        ({**GOOD, "split": ["train", None] * 5}, "row 1 of .* has split None"),
        ({**GOOD, "split": ["test"] * 10}, "contains no training rows"),
        (
            {**GOOD, "label": [0, 1] * 4 + [0, 9], "split": ["train"] * 8 + ["test"] * 2},
            "row 9 of .* has label 9, which is not a class of the training set",
        ),
        (
            {**GOOD, "label_name": ["a", "b"] * 4 + ["a", "c"]},
            "row 9 of .* has label_name 'c' for label 1, which was 'b' before",
        ),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path, root, at, columns, message):
    settings = at("parquet", write(tmp_path / "x.parquet", columns))
    with pytest.raises(UserError, match=message) as caught:
        prepare(settings, root)
    assert "\n" not in str(caught.value) and "x.parquet" in str(caught.value)


def test_labels_outside_of_the_metadata_names_are_refused(tmp_path, root, at):
    features = {"label": {"names": ["a", "b"]}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    file = write(tmp_path / "x.parquet", {**GOOD, "label": [0, 1] * 4 + [1, -1]}, metadata)
    with pytest.raises(UserError, match=r"row 9 of .* has label -1, which is not a class"):
        load_train(at("parquet", file), root)
    file = write(tmp_path / "x.parquet", GOOD, {b"huggingface": b"{"})
    with pytest.raises(UserError, match="schema metadata 'huggingface' that doesn't describe"):
        check_data(at("parquet", file))


def test_files_that_do_not_belong_together_are_refused(tmp_path, root, at):
    write(tmp_path / "d" / "train-0.parquet", GOOD)
    write(tmp_path / "d" / "more.parquet", GOOD)
    with pytest.raises(UserError, match="name every file of the folder by its split"):
        load_train(at("parquet", tmp_path / "d"), root)
    write(tmp_path / "e" / "a.parquet", GOOD)
    write(tmp_path / "e" / "b.parquet", {**GOOD, "label": ["x", "y"] * 5})
    with pytest.raises(UserError, match=r"b.parquet has different columns from .*a.parquet"):
        load_train(at("parquet", tmp_path / "e"), root)
    (tmp_path / "f").mkdir()
    with pytest.raises(UserError, match=r"contains no \*\.parquet file"):
        check_data(at("parquet", tmp_path / "f"))


def test_truncated_and_foreign_files_are_named(tmp_path, root, images, at):
    file = write(tmp_path / "x.parquet", {"image": images(range(10)), "label": [0, 1] * 5})
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:3], b"", b"PAR1 but no table PAR1"):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"x\.parquet can't be read as Parquet") as caught:
            check_data(at("parquet", file))
        assert "\n" not in str(caught.value)
    # The footer is whole, a page isn't: seen when the images are read, whatever page it is.
    for start in range(4, len(whole) - 600, 97):
        file.write_bytes(whole[:start] + b"\xff" * 24 + whole[start + 24 :])
        try:
            prepare(at("parquet", file), root)
        except UserError as error:
            assert "x.parquet" in str(error) and "\n" not in str(error)


@pytest.mark.skipif(not CIFAR.exists(), reason=f"no {CIFAR.name} in shared/data")
def test_part_of_the_real_cifar10_jpegs(tmp_path, root, at):
    """Every 40th image, whose channel means and spreads are CIFAR-10's, give or take the draw."""
    table = pq.read_table(CIFAR)
    some = table.take(pa.array(range(0, len(table), 40)))
    pq.write_table(some, tmp_path / "some.parquet")
    settings = at("parquet", tmp_path / "some.parquet")
    info, weights, arch = search_halves(settings, root)
    test = load_test(settings, root)
    assert (len(weights), len(arch), len(test)) == (625, 625, 250)
    assert info.class_names[0] == "airplane" and info.classes == 10
    assert info.mean == pytest.approx([0.491, 0.482, 0.447], abs=0.015)
    assert info.std == pytest.approx([0.247, 0.243, 0.262], abs=0.015)
    train_rows = some.filter(pa.compute.equal(some["split"].cast(pa.string()), "train"))
    assert torch.cat([weights.labels, arch.labels]).tolist() == train_rows["label"].to_pylist()


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.exists(), reason=f"no {CIFAR.name} in shared/data")
def test_all_of_the_real_cifar10_jpegs(root):
    settings = DataSettings(name="parquet", path=str(CIFAR))
    info, train = load_train(settings, root)
    assert train.labels.bincount().tolist() == [5000] * 10
    # Measured independently; shared/data/CIFAR10.md has them.
    assert np.array(info.mean) * 255 == pytest.approx([125.27, 122.93, 113.86], abs=0.01)
    assert np.array(info.std) * 255 == pytest.approx([62.53, 61.91, 66.46], abs=0.01)
    assert load_test(settings, root).labels.bincount().tolist() == [1000] * 10
