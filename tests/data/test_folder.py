"""Class folders: both layouts, all shapes and kinds of images, damage."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as TF

from drnas_ray.core.errors import UserError
from drnas_ray.data.catalog import check_data, load_test, load_train, search_halves
from drnas_ray.data.decode import decode, decode_all


@pytest.fixture
def fill(picture):
    """Put `count` different PNG files into a folder; returns their pixels, by name."""

    def make(folder: Path, count: int, first: int = 0, size: tuple[int, int] = (8, 8)):
        folder.mkdir(parents=True)
        for number in range(first, first + count):
            Image.fromarray(picture(number, *size)).save(folder / f"{number:04}.png")

    return make


def contents(data) -> set[tuple[bytes, int]]:
    pairs = zip(data.images, data.labels.tolist(), strict=True)
    return {(image.numpy().tobytes(), label) for image, label in pairs}


def test_train_and_test_folders_come_back_pixel_by_pixel(tmp_path, root, fill, picture, at):
    for offset, part in enumerate(["train", "test"]):
        fill(tmp_path / "d" / part / "cat", 6, 100 * offset)
        fill(tmp_path / "d" / part / "ant", 4, 100 * offset + 50)
    (tmp_path / "d" / "train" / "cat" / "Thumbs.db").write_text("not an image")
    where = at("folder", tmp_path / "d", image_size=8)
    info, train = load_train(where, root)
    assert info.class_names == ("ant", "cat") and info.height == info.width == 8

    def chw(number: int) -> bytes:
        return np.ascontiguousarray(picture(number, 8, 8).transpose(2, 0, 1)).tobytes()

    assert contents(train) == {(chw(50 + i), 0) for i in range(4)} | {(chw(i), 1) for i in range(6)}
    assert contents(load_test(where, root)) == {(chw(150 + i), 0) for i in range(4)} | {
        (chw(100 + i), 1) for i in range(6)
    }


def test_plain_class_folders_are_split_once_and_for_all(tmp_path, root, fill, at):
    fill(tmp_path / "d" / "a", 20)
    fill(tmp_path / "d" / "b", 10, 100)
    where = at("folder", tmp_path / "d", image_size=8)
    _, weights, arch = search_halves(where, root)
    test = load_test(where, root)
    parts = [contents(weights), contents(arch), contents(test)]
    assert [len(p) for p in parts] == [12, 12, 6] and len(set.union(*parts)) == 30
    for data, counts in [(weights, [8, 4]), (arch, [8, 4]), (test, [4, 2])]:
        assert data.labels.bincount().tolist() == counts
    _, again = load_train(where, tmp_path / "other root")
    assert torch.equal(again.images, torch.cat([weights.images, arch.images]))


def test_a_changed_file_is_decoded_again(tmp_path, root, fill, picture, at):
    for name in "ab":
        fill(tmp_path / "d" / "train" / name, 3)
        fill(tmp_path / "d" / "test" / name, 1)
    where = at("folder", tmp_path / "d", image_size=8)
    before = load_test(where, root)
    Image.fromarray(picture(77, 9, 8)).save(tmp_path / "d" / "test" / "a" / "0000.png")
    assert not torch.equal(load_test(where, root).images, before.images)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 50), width=st.integers(1, 50), side=st.integers(4, 40))
def test_any_size_is_resized_and_cropped_as_torchvision_does(height, width, side):
    pixels = np.random.RandomState(height * 50 + width).randint(0, 256, (height, width, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    expected = image
    if min(height, width) != side:
        expected = TF.resize(image, side, TF.InterpolationMode.BILINEAR)
    expected = TF.center_crop(expected, [side, side])
    got = decode("x", buffer.getvalue(), side)
    assert np.array_equal(got, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_other_kinds_of_pixels_become_rgb(tmp_path, picture, mode, suffix):
    if mode == "CMYK" and suffix == "png":
        suffix = "jpg"  # PNG has no CMYK
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(picture(1, 8, 8)).convert(mode).save(file)
    assert decode("x", file, 8).shape == (3, 8, 8)


def test_grey_is_repeated_and_see_through_palettes_are_read(tmp_path, picture):
    grey = picture(1, 8, 8)[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(decode("x", tmp_path / "grey.png", 8), np.stack([grey] * 3))
    palette = Image.fromarray(picture(1, 8, 8)).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=bytes(range(16)))
    assert np.array_equal(
        decode("x", tmp_path / "palette.png", 8),
        np.asarray(palette.convert("RGB")).transpose(2, 0, 1),
    )


def test_deep_pixels_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 4000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="deep has I;16 pixels: save it with 8 bits"):
        decode("deep", tmp_path / "deep.png", 8)


def test_many_images_keep_their_order(png, picture):
    sources = [(str(i), png(picture(i, 4, 4))) for i in range(100)]
    got = decode_all(sources, 4)
    assert np.array_equal(got, np.stack([picture(i, 4, 4).transpose(2, 0, 1) for i in range(100)]))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd headers before it raises
@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 60), noise=st.binary(max_size=40), data=st.data())
def test_damaged_bytes_never_raise_anything_but_user_error(cut, noise, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 200, 30)).save(buffer, kind)
    whole = buffer.getvalue()
    place = data.draw(st.integers(0, len(whole)))
    damaged = whole[:place] + noise + whole[place + cut :]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # no test of gigabytes
            got = decode("it", damaged, 8)
    except UserError as error:
        assert str(error).startswith("it ") and "\n" not in str(error)
    else:
        assert got.shape == (3, 8, 8)


def test_a_truncated_file_is_named(tmp_path, root, fill, at):
    fill(tmp_path / "d" / "a", 5)
    fill(tmp_path / "d" / "b", 5)
    bad = tmp_path / "d" / "b" / "0003.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(UserError, match=r"b/0003.png can't be decoded .*expected a complete image"):
        load_train(at("folder", tmp_path / "d"), root)
        load_test(at("folder", tmp_path / "d"), root)


def test_layouts_that_cannot_work_are_refused(tmp_path, root, fill, at):
    fill(tmp_path / "one" / "a", 3)
    with pytest.raises(UserError, match="contains 1 class folders"):
        check_data(at("folder", tmp_path / "one"))
    fill(tmp_path / "half" / "train" / "a", 3)
    with pytest.raises(UserError, match="contains train/ but no test/"):
        check_data(at("folder", tmp_path / "half"))
    with pytest.raises(UserError, match="is not a folder"):
        check_data(at("folder", tmp_path / "one" / "a" / "0000.png"))
    fill(tmp_path / "d" / "train" / "a", 3)
    fill(tmp_path / "d" / "train" / "b", 3)
    fill(tmp_path / "d" / "test" / "c", 3)
    with pytest.raises(UserError, match=r"test/c is a class without training images: known: a"):
        load_test(at("folder", tmp_path / "d"), root)
    (tmp_path / "d" / "train" / "empty").mkdir()
    with pytest.raises(UserError, match="empty contains no images"):
        load_train(at("folder", tmp_path / "d"), root)
    fill(tmp_path / "few" / "a", 2)
    fill(tmp_path / "few" / "b", 2)
    with pytest.raises(UserError, match="has 2 training images: 4 or more"):
        load_train(at("folder", tmp_path / "few"), root)
