"""A checkpoint that can't be written leaves the earlier one as it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from drnas_ray.jobs import checkpoint


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("place", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_file(
    code: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    checkpoint.save({"config": "{}", "x": torch.ones(3)}, path)
    before = path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(code, "No space left on device")

    def torch_save(state: Any, file: Any) -> None:
        file.write(b"half")
        try:
            full()
        except OSError as error:  # as torch's own writer does
            raise RuntimeError("unexpected pos 704 vs 598") from error

    if place == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(checkpoint.torch, "save", torch_save)
    with pytest.raises((OSError, RuntimeError)) as caught:
        checkpoint.save({"config": "{}", "x": torch.zeros(3)}, path)
    assert checkpoint.is_disk_full(caught.value)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["run.pt"]


def test_other_failures_are_not_taken_for_a_full_disk() -> None:
    assert not checkpoint.is_disk_full(PermissionError(errno.EACCES, "no"))
    assert not checkpoint.is_disk_full(RuntimeError("no"))
    assert not checkpoint.is_disk_full(None)


def test_the_message_names_the_folder_and_what_is_free(tmp_path: Path) -> None:
    said = str(checkpoint.disk_full([tmp_path]))
    assert str(tmp_path) in said
    assert "MiB free" in said
    assert "--resume" in said
    assert "\n" not in said
