"""Files are complete or absent, lines survive a kill, and a lock goes with who holds it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drnas_ray.core.errors import UserError
from drnas_ray.core.files import (
    append_json_line,
    as_json_lines,
    atomic_replacement,
    drop_cut_line,
    json_lines,
    locked,
    write_atomically,
    write_json,
)


def python(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_replacement(path) as aside:
        aside.write_text("new")
        assert not path.exists()
        assert aside.parent == tmp_path and aside.name.startswith(".a.txt.")
    assert path.read_text() == "new"
    write_atomically(path, "ü\n", sync=True)
    assert path.read_bytes() == "ü\n".encode()
    write_json(path, {"b": 1, "a": [2]})
    assert path.read_text() == '{\n "a": [\n  2\n ],\n "b": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_stays_alone(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_replacement(path) as aside:
        aside.write_text("half of the ne")
        raise error
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_disk_that_is_full_when_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new", sync=True)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


@pytest.mark.process
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import sys, pathlib\nfrom drnas_ray.core.files import atomic_replacement\n"
        "with atomic_replacement(pathlib.Path(sys.argv[1])) as aside:\n"
        "    aside.write_text('half'); print('writing', flush=True); sys.stdin.read()\n"
    )
    with python(code, path) as process:
        assert said(process) == "writing"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    (left,) = (one for one in tmp_path.iterdir() if one != path)
    assert left.name.startswith(".a.txt.") and left.name.endswith(".part")


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_atomically(path, b"1")
    assert path.read_bytes() == b"1"


def test_lines_are_read_as_they_were_added(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert list(json_lines(path)) == []
    entries: list[Any] = [{"a": 1}, {"b": "line\nbreak \u2028"}, [None]]
    for entry in entries:
        append_json_line(path, entry, sync=True)
    assert list(json_lines(path)) == list(enumerate(entries, start=1))
    assert path.read_text() == as_json_lines(entries)


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_a_last_line_that_was_cut_is_left_out_and_written_anew(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for number in range(3):
        append_json_line(path, {"n": number})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    left = list(json_lines(path))
    assert left == [(number + 1, {"n": number}) for number in range(2)]
    drop_cut_line(path)
    append_json_line(path, {"n": 2})
    assert path.read_bytes() == whole
    drop_cut_line(path)
    drop_cut_line(tmp_path / "none")
    assert path.read_bytes() == whole


def test_a_cut_first_line_leaves_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n"')
    assert list(json_lines(path)) == []
    drop_cut_line(path)
    assert path.read_text() == ""


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(UserError, match=r"line 2 of .*a\.jsonl is damaged"):
        list(json_lines(path))
    path.write_bytes(b'{"n": "\xff"}\n')
    with pytest.raises(UserError, match=r"line 1 of .*a\.jsonl is damaged"):
        list(json_lines(path))


HOLD = (
    "import sys, pathlib\nfrom drnas_ray.core.files import locked\n"
    "path, byte, shared, wait = sys.argv[1], *map(int, sys.argv[2:])\n"
    "with locked(pathlib.Path(path), byte=byte, shared=bool(shared), wait=bool(wait)) as held:\n"
    "    print(held, flush=True); sys.stdin.readline()\n"
)


@pytest.mark.process
def test_a_lock_keeps_other_processes_out_until_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with python(HOLD, path, 0, 0, 1) as holder:
        assert said(holder) == "True"
        with locked(path, wait=False) as held:
            assert not held
        with locked(path, byte=2**62, wait=False) as held:  # another byte
            assert held
        with python(HOLD, path, 0, 0, 1) as waiting:
            holder.send_signal(signal.SIGKILL)
            assert said(waiting) == "True"
            waiting.communicate("\n")
    with locked(path, wait=False) as held:
        assert held


@pytest.mark.process
def test_a_shared_lock_keeps_out_only_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path, shared=True) as held:
        assert held
        for shared, answer in ((1, "True"), (0, "False")):
            with python(HOLD, path, 0, shared, 0) as other:
                assert said(other) == answer
                other.communicate("\n")


@pytest.mark.process
def test_a_lock_ends_with_its_block_and_no_other_of_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path, byte=1):
        with locked(path, byte=2):
            pass
        for byte, answer in ((1, "False"), (2, "True")):
            with python(HOLD, path, byte, 0, 0) as other:
                assert said(other) == answer
                other.communicate("\n")


def test_a_lock_file_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with locked(path):
        pass
    path.unlink()
    with locked(path) as held:
        assert held and path.exists()
    with pytest.raises(OSError), locked(tmp_path / "none" / ".lock"):
        pass


@pytest.mark.process
def test_two_processes_add_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    code = (
        "import sys, pathlib\nfrom drnas_ray.core.files import append_json_line\n"
        "for n in range(200): append_json_line(pathlib.Path(sys.argv[1]), [sys.argv[2], n])\n"
    )
    both = [python(code, path, name) for name in "ab"]
    for process in both:
        process.communicate()
        assert process.returncode == 0
    found = [value for _, value in json_lines(path)]
    assert sorted(map(json.dumps, found)) == sorted(
        json.dumps([name, n]) for name in "ab" for n in range(200)
    )
