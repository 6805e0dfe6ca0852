"""Encoded images (PNG, JPEG, ...) to squares of RGB bytes, on several threads."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from drnas_ray.core.errors import UserError
from drnas_ray.data.files import one_line
from drnas_ray.data.images import Pixels

CHUNK = 32
DECODER = f"pillow {PIL.__version__}"
"""Part of the cache key of decoded pixels: another decoder may differ by a grey level."""


def decode_all(sources: Iterable[tuple[str, Path | bytes]], side: int) -> Pixels:
    """Images (n, 3, side, side) of (where, file or encoded bytes), in order.

    `where` names the image in errors: "row 7 of x.parquet". Pillow releases the interpreter lock
    while it decodes, so threads are enough. Raises UserError at the first damaged image.
    """
    Image.init()  # two threads that load Pillow's rarer formats at once may miss them
    listed = list(sources)
    # A few images per task: handing over a single small image costs as much as decoding it.
    chunks = [listed[start : start + CHUNK] for start in range(0, len(listed), CHUNK)]
    images = np.empty((len(listed), 3, side, side), np.uint8)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda chunk: [decode(where, s, side) for where, s in chunk], chunks)
        for index, image in enumerate(chain.from_iterable(done)):
            images[index] = image
    return images


def decode(where: str, source: Path | bytes, side: int) -> Pixels:
    """One image (3, side, side): the shorter side resized to `side`, then the centre cropped.

    An image that already has that size is not resampled. Grey is repeated over the three channels,
    so that one network fits all; transparency is dropped.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            square = _square(_rgb(image, where), side)
    except UnidentifiedImageError as error:
        raise _damaged(where, "not in a format that Pillow knows") from error
    except UserError:
        raise
    except (
        OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError,
        struct.error, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        # Pillow's decoders raise any of these on damaged bytes (its PNG reader a SyntaxError).
        raise _damaged(where, one_line(error)) from error
    return np.asarray(square).transpose(2, 0, 1)


def _rgb(image: Image.Image, where: str) -> Image.Image:
    """8-bit RGB. Raises UserError for deeper pixels, which Pillow would clip to white."""
    if image.mode.startswith(("I", "F")):
        raise UserError(f"{where} has {image.mode} pixels: save it with 8 bits per channel")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when converting it directly
    return image.convert("RGB")


def _square(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    shorter = min(width, height)
    if shorter != side:
        # The longer side is cut to whole pixels, as torchvision's Resize does.
        width, height = side * width // shorter, side * height // shorter
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def _damaged(where: str, reason: str) -> UserError:
    return UserError(
        f"{where} can't be decoded ({reason}): expected a complete image file, such as PNG or JPEG"
    )
