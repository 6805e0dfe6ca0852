"""What goes together: stages and perturbation with every method, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from drnas_ray.blackbox import BLACKBOX
from drnas_ray.core.errors import UserError
from drnas_ray.jobs import checkpoint
from drnas_ray.methods import METHODS
from tests.stepping import step

pytestmark = pytest.mark.long

SMALL = {
    "enas": {"name": "enas", "steps": 1, "samples": 2, "candidates": 2},
    "rsps": {"name": "rsps", "candidates": 2},
}
STAGES = [{"partial": 4, "keep_ops": 5}, {"partial": 2, "keep_ops": 2}]
# One step of each kind an epoch.
ONE_STEP = {"name": "digits", "train_images": 32}
DRAWING = {name for name, method in METHODS.items() if not method.mixes}


def small(name: str) -> object:
    return SMALL.get(name, name)


def test_capabilities_of_the_published_methods():
    """Written out, so that a wrong one is seen; a new method need not be added."""
    mixing = {"bayesnas", "darts", "drnas", "gaea", "pcdarts", "pdarts", "snas"}
    drawing = {"dsnas", "enas", "gdas", "parsec", "proxyless", "rsps"}
    for name in mixing | drawing:
        method = METHODS[name]
        assert method.mixes == (name in mixing), name
        assert method.differentiable == (name in mixing | {"gdas"}), name
        assert method.ranks == (name != "rsps"), name
        assert (method.distribution == "dirichlet") == (name == "drnas"), name


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_stages_with_every_method(tiny_run, tmp_path, name):
    over = {"epochs": 4, "stages": STAGES, "data": ONE_STEP}
    if not METHODS[name].ranks:
        with pytest.raises(UserError, match=rf"keep_ops=2 with method {name}.*rank"):
            tiny_run(small(name), **over)
        over["stages"] = [{"partial": 4}, {"partial": 2}]
    run = tiny_run(small(name), **over)
    records = [step(run), step(run)]
    checkpoint.save(run.state_dict(), tmp_path / "run.pt")
    records += [step(run), step(run)]
    assert [record["stage"] for record in records] == [0, 0, 1, 1]
    assert records[-1]["status"] == "done"
    strengths = torch.tensor(records[-1]["strengths"])
    if METHODS[name].ranks:
        assert ((strengths > 0).sum(-1) <= 2).all()
    other = tiny_run(small(name), **over)  # goes on across the change
    other.load_state_dict(checkpoint.load(tmp_path / "run.pt", other.config.canonical_json()))
    assert [step(other), step(other)] == records[2:]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["random", "adversarial"])
@pytest.mark.parametrize("name", METHODS)
def test_perturbation_with_every_method(tiny_run, name, kind):
    over = {"perturb": {"kind": kind}, "supernet": {"partial": 2}, "data": ONE_STEP}
    if name in DRAWING:
        with pytest.raises(UserError, match=rf"perturb\.kind={kind} with method {name}.*drawn"):
            tiny_run(small(name), **over)
        return
    run = tiny_run(small(name), **over)
    assert [step(run)["status"] for _ in range(3)] == ["running", "running", "done"]


def test_single_level_with_perturbation_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"bilevel=false"):
        tiny_config({"name": "snas", "bilevel": False}, perturb={"kind": "random"})


@pytest.mark.parametrize("perturb", ["none", "random"])
@pytest.mark.parametrize("name", METHODS)
def test_the_authors_clipping_with_every_method(tiny_run, name, perturb):
    """It includes the architecture's gradient, so the weights differ, or it is refused."""
    if perturb != "none" and name in DRAWING:
        return

    def weights_after(clip_over_arch: bool) -> torch.Tensor:
        weights = {"clip": 0.05, "clip_over_arch": clip_over_arch}
        # In double precision: at GDAS's first temperature the architecture's part is tiny.
        run = tiny_run(
            small(name),
            dtype=torch.float64,
            data=ONE_STEP,
            weights=weights,
            perturb={"kind": perturb},
        )
        step(run)
        return torch.cat([p.detach().flatten() for p in run.net.parameters()])

    if not METHODS[name].differentiable:
        with pytest.raises(UserError, match=rf"clip_over_arch=true with method {name}"):
            weights_after(True)
        return
    assert not torch.equal(weights_after(True), weights_after(False))


@pytest.mark.parametrize(
    ("method", "over", "label"),
    [
        ("drnas", {}, "DrNAS"),
        ("drnas", {"supernet": {"partial": 2}}, "DrNAS + K=2"),
        ("drnas", {"stages": STAGES}, "DrNAS + progressive"),
        ("pcdarts", {}, "PC-DARTS"),
        ("pdarts", {}, "P-DARTS"),
        ("gaea", {"perturb": {"kind": "adversarial"}}, "GAEA + DARTS + SDARTS-ADV"),
        ({"name": "gaea", "edge_weights": True}, {}, "GAEA + PC-DARTS"),
        ("darts", {"perturb": {"kind": "random"}}, "DARTS (1st) + SDARTS-RS"),
    ],
)
def test_labels_say_what_is_composed(tiny_config, method, over, label):
    assert tiny_config(method, **over).label == label


def test_every_method_has_a_page():
    pages = {path.stem for path in (Path(__file__).parents[2] / "docs" / "methods").glob("*.md")}
    assert {*METHODS, *BLACKBOX, "progressive", "sdarts"} == pages
