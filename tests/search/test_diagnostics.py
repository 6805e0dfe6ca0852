"""Diagnostics as a whole: when they are due, what refuses them, that they leave no trace, resume;
and the landscape."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from masks import FEW, MIXED

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.methods import METHODS
from drnas_ray.parsing import run_config
from drnas_ray.search.diagnostics import diagnose
from drnas_ray.search.diagnostics.fixed import fixed_batch, restored
from drnas_ray.search.diagnostics.landscape import directions, landscape
from drnas_ray.search.loop import SearchJob
from tests.bits import same
from tests.stepping import finish, step

HESSIAN = {"hessian_max_eigenvalue", "hessian_trace"}
LANDSCAPE = {"landscape_offsets", "landscape_loss", "landscape_acc_pct"}
PROPOSITION1 = {
    "proposition1_sampled", "proposition1_sampled_se", "proposition1_laplace",
    "proposition1_at_mean",
}  # fmt: skip
EVERY = {
    "hessian": 1, "landscape": 2, "proposition1": "last", "images": 8, "landscape_points": 3,
    "proposition1_draws": 2,
}  # fmt: skip
SMOOTH = [name for name, method in METHODS.items() if method.mixes]
STAGES = {"epochs": 4, "stages": [{"partial": 2}, {"partial": 1, "keep_ops": 3}]}


def asked(method: str, **over) -> dict:
    """Every diagnostic that the method can have."""
    settings = {**EVERY, **over}
    return {
        k: v
        for k, v in settings.items()
        if k != "proposition1" or METHODS[method].distribution == "dirichlet"
    }


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"hessian": 0}, "diagnostics.hessian=0: give a number of epochs"),
        ({"hessian": True}, "diagnostics.hessian=True: give a number of epochs"),
        ({"landscape": "first"}, "diagnostics.landscape='first': give a number of epochs"),
        ({"proposition1": 1.5}, "diagnostics.proposition1=1.5: give a number of epochs"),
        ({"hesian": 1}, "did you mean 'hessian'"),
        ({"images": 1}, "diagnostics.images=1"),
        ({"landscape_points": 4}, "diagnostics.landscape_points=4: the middle of the grid"),
        ({"landscape_radius": 0}, "diagnostics.landscape_radius=0"),
        ({"proposition1_draws": 1}, "diagnostics.proposition1_draws=1"),
        ({"early_stop": {}}, "hessian=None.*give diagnostics.hessian=1"),
        ({"early_stop": {}, "hessian": "last"}, "hessian=last.*give diagnostics.hessian=1"),
        ({"early_stop": {}, "hessian": 2}, "early_stop.back=5 with diagnostics.hessian=2"),
        ({"early_stop": {"window": 4}, "hessian": 1}, "early_stop.window=4: a window centred"),
        ({"early_stop": {"factor": 1}, "hessian": 1}, "early_stop.factor=1"),
        ({"early_stop": {}, "hessian": 1}, "epochs=12: first_epoch=10 and back=5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tiny_config, given, named):
    with pytest.raises(UserError, match=named) as caught:
        tiny_config("drnas", epochs=12, diagnostics=given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["hessian", "landscape", "proposition1"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_what_is_measured_is_refused(tiny_config, method, key):
    dirichlet = METHODS[method].distribution == "dirichlet"
    can = dirichlet if key == "proposition1" else method in SMOOTH
    if can:
        tiny_config(method, epochs=6, diagnostics={key: 2})
        return
    with pytest.raises(UserError, match=rf"^diagnostics.{key}=2 with method {method}: ") as caught:
        tiny_config(method, epochs=6, diagnostics={key: 2})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", BLACKBOX)
def test_a_method_without_a_supernet_is_refused(method):
    with pytest.raises(
        UserError, match=f"^diagnostics with method {method}: it applies to a supernet only"
    ):
        run_config({"method": method, "data": {"name": "digits"}, "diagnostics": {"hessian": 1}})


def test_what_only_observes_is_not_part_of_a_runs_id(tiny_config):
    plain = tiny_config("drnas")
    assert tiny_config("drnas", diagnostics=EVERY).id() == plain.id()
    assert "diagnostics" not in json.loads(plain.canonical_json())
    stop = {"early_stop": {"first_epoch": 1, "back": 1}, "hessian": 1}
    stopping = tiny_config("drnas", diagnostics=stop)
    assert stopping.id() != plain.id()
    assert stopping.label == "DrNAS + early stopping"
    assert tiny_config("drnas", diagnostics={**EVERY, **stop, "images": 128}).id() == stopping.id()
    for other in ({"images": 9}, {"early_stop": {"first_epoch": 1, "back": 1, "factor": 2}}):
        assert tiny_config("drnas", diagnostics={**stop, **other}).id() != stopping.id()


# --- when ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_record_has_the_measures_that_are_due(tiny_run):
    run = tiny_run("drnas", epochs=3, diagnostics=asked("drnas"))
    run.active = FEW
    found = [record.keys() & (HESSIAN | LANDSCAPE | PROPOSITION1) for record in finish(run)]
    assert found == [HESSIAN, HESSIAN | LANDSCAPE, HESSIAN | PROPOSITION1]


@pytest.mark.long
def test_its_time_is_recorded_separately(tiny_run):
    run = tiny_run("drnas", epochs=2, diagnostics=asked("drnas", hessian=None))
    run.active = FEW
    first, second = SearchJob(run).step(), SearchJob(run).step()
    assert "diagnostics_s" not in first
    parts = sum(second[key] for key in ("data_s", "arch_step_s", "weight_step_s", "val_s"))
    assert second["diagnostics_s"] > 0
    assert parts <= second["wall_s"]
    plain = tiny_run("drnas", epochs=2)
    assert "diagnostics_s" not in SearchJob(plain).step()


def test_a_diverged_run_is_not_measured(tiny_run):
    run = tiny_run("darts", diagnostics=asked("darts"))
    with torch.no_grad():
        run.arch.alpha.fill_(float("nan"))
    record = SearchJob(run).step()
    assert record["status"] == "diverged"
    assert not record.keys() & (HESSIAN | LANDSCAPE)


# --- no trace -----------------------------------------------------------------------------------

CASES = [
    *((name, {}, FEW) for name in SMOOTH),
    ("drnas", {"supernet": {"fused": False}, "perturb": {"kind": "random"}}, None),
    ("darts", STAGES, None),
]


@pytest.mark.long
@pytest.mark.parametrize(("method", "over", "active"), CASES)
def test_a_run_is_the_same_bit_for_bit_with_and_without(tiny_run, method, over, active):
    """Weights, statistics, optimisers, what is learnt, random states: the state is all of a run."""
    over = {"epochs": 2, "stages": [], "weights": {"at_stage": "scheduled"}, **over}
    plain = tiny_run(method, **over)
    settings = asked(method, hessian=2, landscape=1, proposition1=1)
    looked_at = tiny_run(method, **over, diagnostics=settings)
    plain.active = looked_at.active = active
    torch.manual_seed(3)
    outside = torch.get_rng_state()
    records = finish(looked_at)
    assert torch.equal(torch.get_rng_state(), outside)
    expected = finish(plain)
    for record, other in zip(records, expected, strict=True):
        assert {key: record[key] for key in other} == other
    assert same(looked_at.state_dict(), plain.state_dict())
    parameters = [*looked_at.net.parameters(), *looked_at.arch.parameters()]
    assert all(parameter.grad is None for parameter in parameters)
    assert looked_at.net.training == plain.net.training


@pytest.mark.gpu
def test_a_run_on_a_gpu_is_the_same_bit_for_bit_too(tiny_config, tiny_halves):
    from drnas_ray.search.device import pick_device  # noqa: PLC0415
    from drnas_ray.search.steps import Run  # noqa: PLC0415

    states = []
    for settings in ({}, asked("drnas", proposition1=1)):
        config = tiny_config("drnas", epochs=2, diagnostics=settings)
        run = Run(config, tiny_halves(config.data), pick_device())
        assert run.device.type == "cuda"
        finish(run)
        states.append(run.state_dict())
    assert same(*states)


def test_what_a_measurement_changed_is_restored_after_an_error(tiny_run):
    run = tiny_run("pcdarts")
    before = [parameter.detach().clone() for parameter in run.arch.parameters()]
    with pytest.raises(RuntimeError, match="stop"), restored(run.arch) as parameters:
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(1)
        raise RuntimeError("stop")
    assert same(before, [parameter.detach() for parameter in run.arch.parameters()])


# --- again --------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "over",
    [{"epochs": 3, "stages": [{"epochs": 1}, {"keep_ops": 2}]}, STAGES],
    ids=["short", "partial"],
)
def test_the_same_figures_after_a_resume(tiny_run, tmp_path, over):
    settings = asked("drnas", hessian=3, proposition1=3)
    whole = tiny_run("drnas", **over, diagnostics=settings)
    expected = []
    for k in range(whole.config.epochs):
        checkpoint.save(whole.state_dict(), tmp_path / f"{k}.pt")
        expected.append(step(whole))
    for k in range(1, whole.config.epochs):
        again = tiny_run("drnas", **over, diagnostics=settings)
        state = checkpoint.load(tmp_path / f"{k}.pt", again.config.canonical_json())
        SearchJob(again).load_state_dict(state)
        torch.rand(3)
        assert finish(again) == expected[k:]


@pytest.mark.long
def test_figures_do_not_depend_on_what_else_is_measured(tiny_run):
    both, one = (
        tiny_run("drnas", epochs=1, diagnostics=settings)
        for settings in (
            asked("drnas", landscape=1),
            asked("drnas", hessian=None, landscape=None),
        )
    )
    both.active = one.active = FEW
    (record,), (other,) = finish(both), finish(one)
    assert {key: record[key] for key in PROPOSITION1} == {key: other[key] for key in PROPOSITION1}


# --- landscape ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["drnas", "pcdarts"])
def test_directions_are_random_orthogonal_and_of_length_one(tiny_run, method):
    run = tiny_run(method)
    run.active = MIXED
    first, second = directions(run)
    for parts in (first, second):
        assert [part.shape for part in parts] == [p.shape for p in run.arch.parameters()]
        assert sum(float(part.double().square().sum()) for part in parts) == pytest.approx(1)
        assert (parts[0][~MIXED] == 0).all()
        assert (parts[0][MIXED] != 0).all()
    products = [float((a * b).sum()) for a, b in zip(first, second, strict=True)]
    assert sum(products) == pytest.approx(0, abs=1e-6)
    other = tiny_run(method, seed=1)
    other.active = MIXED
    assert not torch.equal(directions(other)[0][0], first[0])
    run.epoch = 5
    assert torch.equal(directions(run)[0][0], first[0])


@pytest.mark.parametrize("method", ["drnas", "pcdarts"])
def test_each_point_of_the_grid_is_the_loss_there(tiny_run, method):
    settings = {"landscape": 1, "landscape_points": 5, "landscape_radius": 2.0, "images": 8}
    run = tiny_run(method, diagnostics=settings)
    run.active = MIXED
    batch = fixed_batch(run)
    record = landscape(run, batch)
    offsets = record["landscape_offsets"]
    assert offsets == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert np.shape(record["landscape_loss"]) == np.shape(record["landscape_acc_pct"]) == (5, 5)
    first, second = directions(run)
    start = [p.detach().clone() for p in run.arch.parameters()]
    for i, j in ((2, 2), (0, 3), (4, 1)):
        with torch.no_grad():
            for p, s, d, e in zip(run.arch.parameters(), start, first, second, strict=True):
                p.copy_(s + offsets[i] * d + offsets[j] * e)
        loss, accuracy = run.score(run.method.mean(run), batch, "batch")
        assert record["landscape_loss"][i][j] == pytest.approx(float(loss), rel=1e-6)
        assert record["landscape_acc_pct"][i][j] == pytest.approx(100 * float(accuracy))
    assert np.ptp(record["landscape_loss"]) > 1e-4


def test_what_is_measured_can_be_written_as_json(tiny_run):
    run = tiny_run("drnas", epochs=1, diagnostics=asked("drnas", landscape=1))
    run.active, run.epoch = FEW, 1
    record = diagnose(run)
    assert record.keys() == HESSIAN | LANDSCAPE | PROPOSITION1 | {"diagnostics_s"}
    assert json.loads(json.dumps(record, allow_nan=False)) == record
