"""What every weight-sharing method keeps, whatever it is: one contract, run over METHODS."""

from __future__ import annotations

import copy
import os
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch

from drnas_ray.core.errors import UserError
from drnas_ray.data.batches import random_batch
from drnas_ray.jobs import checkpoint
from drnas_ray.methods import METHODS
from drnas_ray.search.loop import SearchJob
from tests.bits import same

# A tiny run has two steps an epoch.
SHRUNK = {
    "enas": {"name": "enas", "steps": 2, "samples": 2, "candidates": 3},
    "proxyless": {"name": "proxyless", "every": 1},
}
CASES: dict[str, object] = (
    {name: name for name in METHODS}
    | SHRUNK
    | {
        "dsnas-bilevel": {"name": "dsnas", "bilevel": True},
        "gaea-pcdarts": {"name": "gaea", "edge_weights": True},
        "pcdarts-k-only": {"name": "pcdarts", "edge_weights": False},
        "snas-single": {"name": "snas", "bilevel": False},
        "darts-2nd": {"name": "darts", "order": 2},
        "drnas-kl": {"name": "drnas", "penalty": "kl"},
    }
)
# Switches that multiply operations and sum to nothing in particular.
NO_SHARES = {"bayesnas"}
TIMES = ("wall_s", "data_s", "arch_step_s", "weight_step_s", "val_s")


@pytest.fixture(params=CASES, name="method")
def method_case(request) -> object:
    return CASES[request.param]


def learns(run) -> bool:
    """Whether the architecture moves before the end at all."""
    return run.method.moves != "never"


def untimed(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in TIMES}


def mask(seed: int) -> torch.Tensor:
    """Operations kept by pruning, two to four an edge."""
    kept = torch.zeros(1, 6, 5, dtype=torch.bool)
    rng = np.random.default_rng(seed)
    for edge in range(6):
        kept[0, edge, rng.choice(5, size=int(rng.integers(2, 5)), replace=False)] = True
    return kept


def batches(run):
    with run.random.in_use():
        return tuple(
            random_batch(half, run.config.batch_size, run.info, dtype=run.dtype)
            for half in (run.train, run.val)
        )


def parameters(module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def finish(run) -> list[dict]:
    records = []
    while not run.finished:
        records.append(untimed(SearchJob(run).step()))
    return records


@pytest.mark.parametrize("active", [None, mask(0)], ids=["all", "pruned"])
def test_shapes_and_shares(tiny_run, method, active):
    run = tiny_run(method)
    run.active = active
    shape = run.space.shape
    settings = run.config.method
    strengths = run.method.strengths(run)
    assert strengths.shape == shape
    assert (strengths >= 0).all()
    assert strengths.isfinite().all()
    mean = run.method.mean(run)
    with run.random.in_use():
        drawn = run.method.sample(run)
    for sample in (drawn, mean):
        assert sample.weights.shape == shape
        assert sample.weights.isfinite().all()
        if settings.name not in NO_SHARES:
            torch.testing.assert_close(sample.weights.sum(-1), torch.ones(shape[:2]))
    if run.method.mixes:
        assert drawn.weights.requires_grad
    else:
        assert (drawn.active.sum(-1) <= 2).all()  # only what was drawn runs
        assert (drawn.weights.detach()[~drawn.active] == 0).all()
    if active is not None:
        assert (strengths[~active] == 0).all()
        assert (drawn.weights.detach()[~active] == 0).all()
        for sample in (drawn, mean):
            assert not (sample.active & ~active).any()
            assert torch.equal(sample.active, active) or not run.method.mixes


def test_penalty_is_a_number(tiny_run, method):
    run = tiny_run(method)
    penalty = torch.as_tensor(run.method.penalty(run)).detach()
    assert penalty.shape == ()
    assert penalty.isfinite()


def test_an_architecture_step_moves_only_the_architecture(tiny_run, method):
    run = tiny_run(method)
    run.net.train()
    before = parameters(run.net), parameters(run.arch)
    optimizer = copy.deepcopy(run.weight_optimizer.state_dict())
    train, val = batches(run)
    with run.random.in_use():
        run.method.arch_step(run, train, val)
    assert same(before[0], parameters(run.net))
    assert same(before[1], parameters(run.arch)) == (run.method.moves != "arch_step")
    assert same(optimizer, run.weight_optimizer.state_dict())
    assert all(p.grad is None for p in run.net.parameters())


def test_a_weight_step_moves_only_the_weights(tiny_run, method):
    """A single-level method's moves the architecture by the same loss: that is its point."""
    run = tiny_run(method)
    run.net.train()
    before = parameters(run.net), copy.deepcopy(run.arch.state_dict())
    optimizer = copy.deepcopy(run.arch_optimizer.state_dict())
    with run.random.in_use():
        run.method.weight_step(run, batches(run)[0])
    moved = [not same(a, b) for a, b in zip(before[0], parameters(run.net), strict=True)]
    assert all(moved)
    single_level = run.method.moves == "weight_step"
    assert same(before[1], run.arch.state_dict()) != single_level
    assert same(optimizer, run.arch_optimizer.state_dict()) != single_level
    assert all(p.grad is None for p in run.arch.parameters())


def test_resume_after_any_epoch_is_the_same_search(tiny_run, tmp_path, method):
    whole = tiny_run(method)
    expected = []
    for k in range(3):
        checkpoint.save(whole.state_dict(), tmp_path / f"{k}.pt")
        expected.append(untimed(SearchJob(whole).step()))
    for k in range(3):
        second = tiny_run(method)
        state = checkpoint.load(tmp_path / f"{k}.pt", second.config.canonical_json())
        SearchJob(second).load_state_dict(state)
        assert second.epoch == k
        assert finish(second) == expected[k:]  # strengths and accuracies to the last bit
        assert same(second.state_dict(), whole.state_dict())


def test_a_checkpoint_holds_its_own_copy_of_nothing_that_moves_on(tiny_run, tmp_path, method):
    """Written, then the run goes on: what is read back is the state as it was."""
    run = tiny_run(method)
    SearchJob(run).step()
    frozen = copy.deepcopy(run.state_dict())
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    SearchJob(run).step()
    assert same(checkpoint.load(path, run.config.canonical_json()), frozen)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_the_seed_decides(tiny_run, method):
    one, two, other = (tiny_run(method, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(0)
    first = finish(one)
    torch.manual_seed(1)  # what the process draws elsewhere doesn't matter
    torch.rand(5)
    assert finish(two) == first
    assert same(one.state_dict(), two.state_dict())
    assert finish(other) != first
    assert not same(one.arch.state_dict(), other.arch.state_dict()) or not learns(one)


def test_the_process_keeps_its_random_state(tiny_run, method):
    torch.manual_seed(123)
    np.random.seed(5)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    finish(tiny_run(method))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_two_runs_side_by_side_do_not_mix(tiny_run, method):
    alone = finish(tiny_run(method, seed=3))
    a, b = tiny_run(method, seed=3), tiny_run(method, seed=4)
    records = []
    while not a.finished:
        records.append(untimed(SearchJob(a).step()))
        SearchJob(b).step()
    assert records == alone


def test_the_answer_is_a_genotype_of_the_space(tiny_run, method):
    run = tiny_run(method)
    records = finish(run)
    assert records[-1]["genotype"] is not None
    for record in records:
        if record["genotype"] is not None:  # nothing is ranked yet
            assert run.space.check(record["genotype"]) == record["genotype"]
        assert np.shape(record["strengths"]) == run.space.shape
        assert np.isfinite(record["strengths"]).all()
    assert [record["status"] for record in records] == ["running", "running", "done"]
    assert all(a["strengths"] != b["strengths"] for a, b in pairwise(records)) or not learns(run)


@pytest.mark.parametrize("partial", [1, 2])
def test_partial_channels_and_pruned_operations(tiny_run, tmp_path, method, partial):
    run = tiny_run(method, supernet={"partial": partial})
    SearchJob(run).step()
    run.active = mask(partial)
    weights = parameters(run.net)
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    resumed = tiny_run(method, supernet={"partial": partial})
    resumed.load_state_dict(checkpoint.load(path, resumed.config.canonical_json()))
    assert torch.equal(resumed.active, run.active)
    records = finish(run)
    assert records == finish(resumed)
    assert not same(weights, parameters(run.net))
    strengths = torch.tensor(records[-1]["strengths"])
    assert (strengths[~run.active] == 0).all()
    chosen = torch.as_tensor(run.space.choices(records[-1]["genotype"]))
    assert run.active.gather(-1, chosen[..., None]).all()


@pytest.mark.parametrize("op", range(5))
def test_one_operation_left_on_each_edge(tiny_run, method, op):
    """The end of pruning, `none` everywhere included: a step still works and stays finite."""
    run = tiny_run(method)
    run.active = torch.zeros(1, 6, 5, dtype=torch.bool)
    run.active[..., op] = True
    record = SearchJob(run).step()
    assert record["status"] == "running"
    assert np.isfinite(record["val_loss"])
    assert record["genotype"] == run.space.genotype(np.full((1, 6), op))


# --- checkpoints that are none ------------------------------------------------------------------


class Hostile:
    """Makes a file when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mknod, (self.path,)


def refused(path, config) -> str:
    with pytest.raises(UserError) as caught:
        checkpoint.load(path, config.canonical_json())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_state_of_other_settings_is_refused(tiny_run, tiny_config, tmp_path):
    path = tmp_path / "state.pt"
    checkpoint.save(tiny_run("drnas", seed=1).state_dict(), path)
    assert "other settings" in refused(path, tiny_config("drnas", seed=2))
    assert "other settings" in refused(path, tiny_config("darts", seed=1))


def test_a_missing_checkpoint_is_refused(tiny_config, tmp_path):
    refused(tmp_path / "state.pt", tiny_config())
    refused(tmp_path, tiny_config())


def test_a_damaged_checkpoint_is_refused(tiny_run, tmp_path):
    run = tiny_run()
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    whole = path.read_bytes()
    for part in range(20):
        path.write_bytes(whole[: len(whole) * part // 20])
        refused(path, run.config)
    path.write_bytes(whole[:-1])
    refused(path, run.config)


GARBAGE = {
    "text": b"hello, this is no checkpoint\n" * 50,
    "zeros": bytes(5000),
    "random": np.random.default_rng(0).bytes(5000),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
    "json": b'{"config": {}}',
    "pickle": pickle.dumps({"config": {1, 2}, "epoch": 1}),
    "old pickle": pickle.dumps([1, 2, 3], protocol=0),
    "memo": b"\x80\x02h\x05.",
    "stack": b"\x80\x02\x85.",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused(tiny_config, tmp_path, kind):
    path = tmp_path / "state.pt"
    path.write_bytes(GARBAGE[kind])
    refused(path, tiny_config())


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, "config", {"config": None}], ids=str)
def test_foreign_contents_are_refused(tiny_config, tmp_path, content):
    path = tmp_path / "state.pt"
    torch.save(content, path)
    refused(path, tiny_config())


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_hostile_checkpoint_runs_nothing(tiny_run, tmp_path, form):
    run = tiny_run()
    path, witness = tmp_path / "state.pt", tmp_path / "was-here"
    state = {**run.state_dict(), "extra": Hostile(str(witness))}
    if form == "pickle":
        path.write_bytes(pickle.dumps(state["extra"]))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    refused(path, run.config)
    assert not witness.exists()
