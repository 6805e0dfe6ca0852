from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drnas_ray.config import DataSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty data root."""
    return tmp_path / "root"


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """A smooth random RGB picture (height, width, 3) that differs for each number."""

    def make(number: int, height: int = 32, width: int = 32) -> np.ndarray:
        return np.random.RandomState(number).randint(0, 256, (height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture
def png() -> Callable[[np.ndarray], bytes]:
    """The PNG file of an array (height, width) or (height, width, 3)."""

    def make(pixels: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture
def at() -> Callable[..., DataSettings]:
    """Settings of a `folder` or `parquet` set at a path."""

    def make(name: str, path: Path, **more: object) -> DataSettings:
        return DataSettings(name=name, path=str(path), **more)  # type: ignore[arg-type]

    return make
