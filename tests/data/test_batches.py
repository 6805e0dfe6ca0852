"""Batches against slow, per-image references made with Pillow and torchvision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as TF

from drnas_ray.data import batches as module
from drnas_ray.data.batches import (
    augment,
    batch_count,
    eval_batches,
    normalise,
    random_batch,
    train_batches,
)
from drnas_ray.data.images import DataInfo, ImageSet

INFO = DataInfo(
    name="made",
    class_names=("a", "b", "c"),
    channels=3,
    height=6,
    width=9,
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.3, 0.4),
    crop_padding=0,
    flip=False,
    cutout=0,
)


def made(n: int, height: int = 6, width: int = 9, channels: int = 3) -> torch.Tensor:
    """Pixels from 1 to 255: never 0, so that padding can be told from pixels."""
    random = torch.Generator().manual_seed(n * 1000 + height * 10 + width)
    shape = (n, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=random)


def numbered(n: int) -> ImageSet:
    """Image i has label i, and all its pixels are i."""
    labels = torch.arange(n)
    images = labels.to(torch.uint8)[:, None, None, None].expand(n, 3, 6, 9).contiguous()
    return ImageSet(images, labels)


def by_torchvision(image: torch.Tensor, top: int, left: int, flip: bool, padding: int):
    """RandomCrop -> flip -> ToTensor -> Normalize of one image at known offsets, via Pillow."""
    picture = TF.to_pil_image(image)
    picture = TF.pad(picture, [padding], fill=0)
    picture = TF.crop(picture, top, left, image.shape[1], image.shape[2])
    if flip:
        picture = TF.hflip(picture)
    return TF.normalize(TF.to_tensor(picture), list(INFO.mean), list(INFO.std))


def test_normalise_agrees_with_torchvision():
    images = made(5)
    expected = [by_torchvision(image, 0, 0, False, 0) for image in images]
    torch.testing.assert_close(normalise(images, INFO), torch.stack(expected))


def test_normalise_in_half_precision_rounds_once():
    images = made(5)
    assert normalise(images, INFO, torch.float64).dtype == torch.float64
    exact = normalise(images, INFO, torch.float32)
    assert torch.equal(normalise(images, INFO, torch.bfloat16), exact.to(torch.bfloat16))


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    padding=st.integers(1, 4),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_augmented_image_is_a_crop_and_flip_that_torchvision_makes(
    height: int, width: int, padding: int, flip: bool, seed: int
):
    torch.manual_seed(seed)
    images = made(4, height, width)
    result = augment(images, replace(INFO, crop_padding=padding, flip=flip))
    for image, got in zip(images, result, strict=True):
        candidates = [
            by_torchvision(image, top, left, mirrored, padding)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            for mirrored in ([False, True] if flip else [False])
        ]
        assert any(torch.allclose(got, candidate, atol=1e-5) for candidate in candidates)


def test_offsets_and_flips_are_independent_and_even():
    """A picture of coordinates tells its own offset: all 5 x 5 x 2 come up about equally."""
    torch.manual_seed(0)
    n, side = 20_000, 9
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    one = torch.stack([rows, columns, torch.full_like(rows, 200)]).to(torch.uint8)
    info = replace(INFO, mean=(0.0,) * 3, std=(1 / 255,) * 3, crop_padding=2, flip=True)
    out = augment(one.expand(n, 3, side, side), info).round().long()
    top = out[:, 0, 4, 4] - 4  # the centre pixel is never padding
    flipped = out[:, 1, 4, 3] > out[:, 1, 4, 5]
    left = out[:, 1, 4, 4] - 4
    counts = torch.bincount(((top + 2) * 5 + left + 2) * 2 + flipped, minlength=50)
    assert len(counts) == 50
    chi_square = ((counts - n / 50) ** 2 / (n / 50)).sum().item()
    assert chi_square < 49 + 4 * (2 * 49) ** 0.5


def test_padding_is_black_before_normalisation():
    torch.manual_seed(0)
    result = augment(made(50), replace(INFO, crop_padding=3))
    black = -torch.tensor(INFO.mean) / torch.tensor(INFO.std)
    corner = result[:, :, 0, 0]
    is_black = torch.isclose(corner, black).all(dim=1)
    assert 0 < is_black.sum() < 50


def test_without_augmentation_images_are_normalised_and_nothing_is_drawn():
    images = made(5)
    before = torch.get_rng_state()
    assert torch.equal(augment(images, INFO), normalise(images, INFO))
    assert torch.equal(torch.get_rng_state(), before)


@settings(max_examples=30, deadline=None)
@given(side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_cutout_blanks_one_clipped_square_and_touches_nothing_else(side: int, seed: int):
    torch.manual_seed(seed)
    images = made(6)
    plain = normalise(images, INFO)
    assert (plain != 0).all()
    for got, whole in zip(augment(images, replace(INFO, cutout=side)), plain, strict=True):
        blank = (got == 0).all(dim=0)
        assert torch.equal(got[:, ~blank], whole[:, ~blank])
        rows, columns = np.flatnonzero(blank.any(1)), np.flatnonzero(blank.any(0))
        top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
        assert blank[top : bottom + 1, left : right + 1].all()
        assert blank.sum() == (bottom - top + 1) * (right - left + 1)
        # A side shorter than asked for is one that an edge of the image clipped.
        assert bottom - top + 1 == side or top == 0 or bottom == 5
        assert right - left + 1 == side or left == 0 or right == 8
        assert bottom - top < side and right - left < side
        assert 2 * (bottom - top + 1) >= min(side, 6) - 1  # the centre lies inside


def test_cutout_area_has_the_mean_of_the_darts_code():
    """E[rows] x E[columns], counted from the DARTS code's clip rule for an even side."""
    torch.manual_seed(0)
    side, images = 4, made(4000)
    out = augment(images, replace(INFO, cutout=side))
    area = (out == 0).all(dim=1).sum().item() / len(images)

    def mean_extent(extent: int) -> float:
        spans = [min(c + side // 2, extent) - max(c - side // 2, 0) for c in range(extent)]
        return sum(spans) / extent

    assert area == pytest.approx(mean_extent(6) * mean_extent(9), rel=0.02)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 100), batch_size=st.integers(2, 40))
def test_an_epoch_shows_every_image_once(n: int, batch_size: int):
    batches = list(train_batches(numbered(n), batch_size, INFO))
    assert len(batches) == batch_count(n, batch_size)
    assert all(2 <= len(images) <= batch_size for images, _ in batches)
    seen = torch.cat([labels for _, labels in batches]).tolist() if batches else []
    assert len(set(seen)) == len(seen) == (n - 1 if n % batch_size == 1 else n)
    for images, labels in batches:  # pictures and labels stay together
        value = images[:, 0, 0, 0] * INFO.std[0] * 255 + INFO.mean[0] * 255
        assert torch.equal(value.round().long(), labels)


def test_every_epoch_is_reshuffled_and_follows_the_seed():
    def order(seed: int | None) -> list[int]:
        if seed is not None:
            torch.manual_seed(seed)
        return torch.cat([y for _, y in train_batches(numbered(64), 10, INFO)]).tolist()

    first, second = order(3), order(None)
    assert first != second and sorted(first) == sorted(second) == list(range(64))
    assert order(3) == first


def test_a_batch_size_that_batch_norm_cannot_use_is_refused():
    with pytest.raises(ValueError, match="batch_size=1"):
        next(train_batches(numbered(5), 1, INFO))


def test_random_batches_have_no_image_twice_and_are_independent():
    torch.manual_seed(0)
    data = numbered(20)
    counts = torch.zeros(20)
    for _ in range(1000):
        images, labels = random_batch(data, 5, INFO)
        assert len(images) == len(labels) == len(set(labels.tolist())) == 5
        counts[labels] += 1
    assert counts.min() > 180 and counts.max() < 320  # 250 expected, deviation 14
    assert sorted(random_batch(data, 50, INFO)[1].tolist()) == list(range(20))


def test_eval_batches_go_through_all_in_order_without_augmentation():
    data = ImageSet(made(11), torch.arange(11))
    busy = replace(INFO, crop_padding=2, flip=True, cutout=3)
    got = list(eval_batches(data, 5, busy))
    assert [len(labels) for _, labels in got] == [5, 5, 1]
    assert torch.equal(torch.cat([labels for _, labels in got]), data.labels)
    assert torch.equal(torch.cat([images for images, _ in got]), normalise(data.images, INFO))


def test_constants_are_made_once_a_device():
    normalise(made(2), INFO)
    hits = module._affine.cache_info().hits
    normalise(made(2), INFO)
    assert module._affine.cache_info().hits == hits + 1


@pytest.mark.gpu
def test_batches_on_a_gpu_never_make_the_host_wait():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    data = ImageSet(made(64), torch.zeros(64, dtype=torch.int64)).to("cuda")
    busy = replace(INFO, crop_padding=2, flip=True, cutout=3)
    random_batch(data, 8, busy)  # first use makes the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        for images, _ in train_batches(data, 8, busy, torch.bfloat16):
            assert images.device.type == "cuda"
        random_batch(data, 8, busy)
    finally:
        torch.cuda.set_sync_debug_mode("default")
