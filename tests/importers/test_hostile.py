"""Damaged and hostile benchmark files: one clear error, nothing written, nothing run."""

from __future__ import annotations

import bz2
import os
import pickle
import pickletools
import subprocess
import zipfile
from io import BytesIO

import nas_201_api.api_utils as nas201
import nats_bench.api_utils as nats
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drnas_ray.core.errors import UserError
from drnas_ray.importers.convert import import_benchmark
from drnas_ray.importers.official import _reduce
from drnas_ray.importers.pickles import Machine
from tests.bench_files import ARCHS, cell, folder, whole

pytestmark = pytest.mark.long


class Runs:
    """Unpickled by Python, it calls a function with arguments."""

    def __init__(self, function, *args):
        self.called = (function, args)

    def __reduce__(self):
        return self.called


def refused(source, tmp_path, match=None):
    target, curves = tmp_path / "out" / "t.parquet", tmp_path / "out" / "c.parquet"
    target.parent.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=match) as caught:
        import_benchmark(source, target, curves if source.suffix != ".parquet" else None)
    assert not list(target.parent.iterdir())
    assert "\n" not in str(caught.value) and source.name in str(caught.value)


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    """The folder format with one good cell; tests put a bad one beside it."""
    return folder(nats, tmp_path_factory.mktemp("simple") / "files", (3,), nats.pickle_save)


@pytest.mark.long
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "call", [(os.system, "touch {}"), (subprocess.getoutput, "touch {}"), (eval, "open('{}','w')"),
             (exec, "open('{}','w')"), (getattr, "os"), (__import__, "antigravity")],
)  # fmt: skip
def test_no_command_is_run(tmp_path, simple, call, protocol):
    mark = tmp_path / "was_here"
    evil = Runs(call[0], *(arg.format(mark) for arg in call[1:]))
    # Behind a whole benchmark once, which takes a second to write; else alone.
    content = (whole(nats, (3,)) if protocol == 2 else {}) | {"evaluated_indexes": evil}
    for name in ("NATS-tss-v1_0-3ffb9.pickle.pbz2", "a.pth"):
        source = tmp_path / name
        if name.endswith(".pth"):
            torch.save(content, source, pickle_protocol=protocol)
        else:
            source.write_bytes(bz2.compress(pickle.dumps(content, protocol)))
        refused(source, tmp_path, "refused, nothing was run")
        assert not mark.exists()
    (simple / "000004.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(evil, protocol)))
    target = tmp_path / "folder.parquet"
    with pytest.raises(UserError, match=r"000004.*refused, nothing was run"):
        import_benchmark(simple, target)
    assert not mark.exists() and not target.exists()


def test_a_class_with_a_state_method_is_refused(tmp_path):
    """BUILD would call __setstate__ of anything that could be named."""
    data = b"\x80\x02cposix\nsystem\n(X\x04\0\0\0echotR."
    with pytest.raises(UserError, match=r"posix\.system"):
        Machine(BytesIO(data)).load()
    data = b"\x80\x02cbuiltins\nobject\n)\x81."
    with pytest.raises(UserError):
        Machine(BytesIO(data)).load()


def test_bytes_for_torch_load_are_not_loaded(tmp_path):
    """`torch.storage._load_from_bytes` unpickles its argument: here it is dropped."""
    mark = tmp_path / "was_here"
    inner = pickle.dumps(Runs(os.system, f"touch {mark}"))
    data = pickle.dumps(Runs(torch.storage._load_from_bytes, inner))
    Machine(BytesIO(data)).load()
    assert not mark.exists()


def test_deep_nesting_does_not_crash():
    deep = b"\x80\x02}" + b"N" + b"\x85" * 300_000 + b"Ns."
    with pytest.raises(UserError):
        Machine(BytesIO(deep)).load()


def test_a_made_up_length_does_not_fill_memory():
    with pytest.raises(UserError):
        Machine(BytesIO(b"\x80\x02X\xff\xff\xff\xffabc")).load()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    place = tmp_path_factory.mktemp("good")
    old, new, packed = place / "old.pth", place / "new.pth", place / "a.pickle.pbz2"
    content = whole(nas201, (3, 4), short="less", long="full")
    torch.save(content, old, _use_new_zipfile_serialization=False)
    torch.save(content, new)
    nats.pickle_save(whole(nats, (3, 4)), place / "a.pickle")
    return {"old": old, "new": new, "packed": packed}


@pytest.mark.parametrize("kind", ["old", "new", "packed"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_files(good, tmp_path, kind, share):
    data = good[kind].read_bytes()
    source = tmp_path / good[kind].name
    source.write_bytes(data[: int(share * len(data))])
    refused(source, tmp_path)


@pytest.mark.parametrize("kind", ["new", "packed"])
def test_one_flipped_bit_is_found_by_the_checksum(good, tmp_path, kind):
    data = bytearray(good[kind].read_bytes())
    data[len(data) // 2] ^= 4
    source = tmp_path / good[kind].name
    source.write_bytes(data)
    refused(source, tmp_path)


@pytest.mark.long
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_changed_bytes_give_data_or_a_user_error(data):
    """Anything but UserError would be a trace on a user's screen."""
    raw = bytearray(pickle.dumps(SMALL, 4))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        Machine(BytesIO(bytes(raw)), _reduce).load()
    except UserError as error:
        assert str(error)


SMALL = cell(nats, 1)["12"]


@given(st.binary(max_size=200))
def test_random_bytes(raw):
    with pytest.raises(UserError):
        Machine(BytesIO(raw)).load()
        raise UserError("random bytes may happen to be a small pickle")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2], "no meta_archs"),
        ({"meta_archs": ARCHS}, "no meta_archs and arch2infos"),
        ({"meta_archs": ["8:8:8"], "arch2infos": {}}, "does not list the 15,625"),
        ({"meta_archs": ARCHS[::-1], "arch2infos": {}}, "not the benchmark's order"),
        ({"meta_archs": ARCHS, "arch2infos": {}}, "has no cells"),
        ({"meta_archs": ARCHS, "arch2infos": {3: {"01": {}, "90": {}}}}, "neither 12 nor 200"),
        ({"meta_archs": ARCHS, "arch2infos": {99_999: {}}}, "numbered 0 to 15624"),
        ({"meta_archs": ARCHS, "arch2infos": {3: [1]}}, "neither 12 nor 200"),
        ({"meta_archs": ARCHS, "arch2infos": {3: {"12": [1]}}}, "has a list"),
        ({"meta_archs": ARCHS, "arch2infos": {3: cell(nats, 4)}}, "as cell 3, which is"),
        ({"meta_archs": ARCHS, "arch2infos": {3: {"12": {"arch_str": ARCHS[3]}}}}, "lacks the tr"),
    ],
)
def test_wrong_content(tmp_path, content, match):
    source = tmp_path / "a.pickle.pbz2"
    source.write_bytes(bz2.compress(pickle.dumps(content, 4)))
    refused(source, tmp_path, match)


def test_other_files(tmp_path):
    (tmp_path / "a.pth").write_text("hello")
    refused(tmp_path / "a.pth", tmp_path)
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        archive.writestr("x", "y")
    refused(tmp_path / "b.pth", tmp_path, "torch.save did not write it")
    (tmp_path / "c.pickle.pbz2").write_text("hello")
    refused(tmp_path / "c.pickle.pbz2", tmp_path)
    (tmp_path / "d.tar").write_text("hello")
    refused(tmp_path / "d.tar", tmp_path)
    (tmp_path / "e.txt").write_text("hello")
    refused(tmp_path / "e.txt", tmp_path, "give a .pth")
    refused(tmp_path / "none.pth", tmp_path, "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "no files like")


def test_bad_tidy_tables(tmp_path):
    def refused_text(text, match):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(UserError, match=match):
            import_benchmark(tmp_path / "a.csv", tmp_path / "t.parquet")
        assert not (tmp_path / "t.parquet").exists()

    refused_text("x,y\n1,2\n", "no column arch")
    refused_text("arch,y\nnonsense,2\n", "is not a NAS-Bench-201 cell")
    refused_text(f"arch,y\n{ARCHS[1]},2\n{ARCHS[1]},3\n", "more than once")
    refused_text("arch_index,y\n99999,2\n", "does not exist")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    refused(tmp_path / "b.parquet", tmp_path, "can't be read")


def test_an_old_table_survives_a_failed_import(tmp_path):
    target = tmp_path / "t.parquet"
    target.write_bytes(b"old")
    (tmp_path / "a.pth").write_text("hello")
    with pytest.raises(UserError):
        import_benchmark(tmp_path / "a.pth", target)
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth", "t.parquet"]


def test_the_machine_agrees_with_python_on_plain_data():
    value = {"a": [1, -1, 2**40, 2.5, None, True, False, "é", b"xy", (1, 2), (), {3, 4}], 5: {}}
    for protocol in (2, 3, 4, 5):
        data = pickletools.optimize(pickle.dumps(value, protocol))
        assert Machine(BytesIO(data)).load() == value
