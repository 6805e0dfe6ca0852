"""What every weight-sharing method keeps, whatever it is: one contract, run over METHODS."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch

from drnas_ray.core.errors import UserError
from drnas_ray.data.batches import random_batch
from drnas_ray.jobs import checkpoint
from drnas_ray.methods import METHODS
from drnas_ray.search.loop import SearchJob
from drnas_ray.spaces.nb201 import NB201
from drnas_ray.spaces.space import Space
from tests.bits import same
from tests.stepping import finish, step

pytestmark = pytest.mark.long

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


@pytest.fixture(params=CASES, name="method")
def method_case(request) -> object:
    return CASES[request.param]


def learns(run) -> bool:
    """Whether the architecture moves before the end at all."""
    return run.method.arch_hook != "never"


def mask(space: Space, seed: int) -> torch.Tensor:
    """Operations kept by pruning, two to four an edge."""
    types, edges, ops = space.shape
    kept = torch.zeros(space.shape, dtype=torch.bool)
    rng = np.random.default_rng(seed)
    for kind in range(types):
        for edge in range(edges):
            some = rng.choice(ops, size=int(rng.integers(2, ops)), replace=False)
            kept[kind, edge, some] = True
    return kept


def batches(run):
    with run.random.in_use():
        return tuple(
            random_batch(half, run.config.batch_size, run.info, dtype=run.dtype)
            for half in (run.train, run.val)
        )


def parameters(module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


@dataclass(frozen=True)
class Whole:
    """A run from its start to its end, for tests to compare with: look, don't touch."""

    records: list[dict]
    states: list[dict]
    """Before the first epoch and after each."""
    random_states: tuple
    """Of the process, torch's and NumPy's, before and after."""


@pytest.fixture(scope="module")
def whole_runs() -> dict[str, Whole]:
    """Those made so far."""
    return {}


@pytest.fixture
def whole(tiny_run, whole_runs, method) -> Whole:
    key = repr(method)
    if key not in whole_runs:
        torch.manual_seed(123)
        np.random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        run, records = tiny_run(method), []
        states = [copy.deepcopy(run.state_dict())]
        while not run.finished:
            records.append(step(run))
            states.append(copy.deepcopy(run.state_dict()))
        after = torch.get_rng_state(), np.random.get_state()[1].copy()
        whole_runs[key] = Whole(records, states, (before, after))
    return whole_runs[key]


@pytest.mark.parametrize("pruned", [False, True], ids=["all", "pruned"])
def test_shapes_and_shares(tiny_run, method, pruned):
    run = tiny_run(method)
    run.active = active = mask(run.space, 0) if pruned else None
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
    assert same(before[1], parameters(run.arch)) == (run.method.arch_hook != "arch_step")
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
    single_level = run.method.arch_hook == "weight_step"
    assert same(before[1], run.arch.state_dict()) != single_level
    assert same(optimizer, run.arch_optimizer.state_dict()) != single_level
    assert all(p.grad is None for p in run.arch.parameters())


def test_resume_after_any_epoch_is_the_same_search(tiny_run, tmp_path, method, whole):
    """Each epoch from the checkpoint before it: strengths, accuracies, state to the last bit."""
    for k, record in enumerate(whole.records):
        checkpoint.save(whole.states[k], tmp_path / f"{k}.pt")
        second = tiny_run(method)
        state = checkpoint.load(tmp_path / f"{k}.pt", second.config.canonical_json())
        SearchJob(second).load_state_dict(state)
        assert second.epoch == k
        assert step(second) == record
        assert same(second.state_dict(), whole.states[k + 1])


def test_a_checkpoint_holds_its_own_copy_of_nothing_that_moves_on(
    tiny_run, tmp_path, method, whole
):
    """Written, then the run goes on: what is read back is the state as it was."""
    run = tiny_run(method)
    run.load_state_dict(copy.deepcopy(whole.states[1]))
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    SearchJob(run).step()
    assert same(checkpoint.load(path, run.config.canonical_json()), whole.states[1])
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_the_seed_decides(tiny_run, method, whole):
    """The state holds the random states: equal after an epoch is equal for ever."""
    same_seed, other = tiny_run(method), tiny_run(method, seed=2)
    torch.manual_seed(1)  # what the process draws elsewhere doesn't matter
    torch.rand(5)
    assert step(same_seed) == whole.records[0]
    assert same(same_seed.state_dict(), whole.states[1])
    assert step(other) != whole.records[0]
    moved = not same(other.state_dict()["arch"], whole.states[1]["arch"])
    assert moved or not learns(other)


def test_the_process_keeps_its_random_state(whole):
    before, after = whole.random_states
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()


def test_two_runs_side_by_side_do_not_mix(tiny_run, method, whole):
    a, b = tiny_run(method), tiny_run(method, seed=4)
    records = [step(a)]
    while not a.finished:
        SearchJob(b).step()
        records.append(step(a))
    assert records == whole.records
    assert same(a.state_dict(), whole.states[-1])


def test_the_answer_is_a_genotype_of_the_space(tiny_run, method, whole):
    run, records = tiny_run(method), whole.records
    assert records[-1]["genotype"] is not None
    for record in records:
        if record["genotype"] is not None:  # nothing is ranked yet
            assert run.space.check(record["genotype"]) == record["genotype"]
        assert np.shape(record["strengths"]) == run.space.shape
        assert np.isfinite(record["strengths"]).all()
    assert [record["status"] for record in records] == ["running", "running", "done"]
    assert all(a["strengths"] != b["strengths"] for a, b in pairwise(records)) or not learns(run)


@pytest.mark.long
@pytest.mark.parametrize("partial", [1, 2])
def test_partial_channels_and_pruned_operations(tiny_run, tmp_path, method, partial):
    run = tiny_run(method, supernet={"partial": partial})
    SearchJob(run).step()
    run.active = mask(run.space, partial)
    weights = parameters(run.net)
    path = tmp_path / "state.pt"
    checkpoint.save(run.state_dict(), path)
    resumed = tiny_run(method, supernet={"partial": partial})
    resumed.load_state_dict(checkpoint.load(path, resumed.config.canonical_json()))
    assert torch.equal(resumed.active, run.active)
    records = [step(run)]
    assert step(resumed) == records[0]
    assert same(resumed.state_dict(), run.state_dict())
    records += finish(run)
    assert not same(weights, parameters(run.net))
    strengths = torch.tensor(records[-1]["strengths"])
    assert (strengths[~run.active] == 0).all()
    chosen = torch.as_tensor(run.space.choices(records[-1]["genotype"]))
    assert run.active.gather(-1, chosen[..., None]).all()


@pytest.mark.parametrize("op", NB201().ops)
def test_one_operation_left_on_each_edge(tiny_run, method, op):
    """The end of pruning, `none` everywhere included: a step still works and stays finite."""
    # One step of each kind is enough.
    run = tiny_run(method, data={"name": "digits", "train_images": 32})
    place = run.space.ops.index(op)
    run.active = torch.zeros(run.space.shape, dtype=torch.bool)
    run.active[..., place] = True
    record = SearchJob(run).step()
    assert record["status"] == "running"
    assert np.isfinite(record["val_loss"])
    assert record["genotype"] == run.space.genotype(np.full(run.space.shape[:2], place))


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
