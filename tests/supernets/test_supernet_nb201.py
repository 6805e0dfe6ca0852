"""The supernet, both cells, against the independent reference and against each other."""

from __future__ import annotations

import pytest
import torch
from reference import nb201 as reference
from torch import Tensor
from torch.nn import functional as F

from drnas_ray.config import SupernetSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods import drnas as drnas_module
from drnas_ray.supernets.blocks import ReductionBlock, average_pool, fast_average_pool
from drnas_ray.supernets.nb201.cell import PreparedSample
from drnas_ray.supernets.nb201.convert import fused_state, plain_state
from drnas_ray.supernets.nb201.fused import FusedCell
from drnas_ray.supernets.nb201.network import NB201Supernet
from drnas_ray.supernets.nb201.plain import PlainCell
from tests.shapes import SHAPE

F64 = torch.float64
OUTGOING = {0: (0, 1, 3), 1: (2, 4), 2: (5,)}  # written out: edges 1<-0 2<-0 2<-1 3<-0 3<-1 3<-2
NONE = 0


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(actual: Tensor, expected: Tensor, tolerance: float, what: str = "") -> None:
    torch.testing.assert_close(
        actual, expected, rtol=tolerance, atol=tolerance, msg=lambda m: f"{what}: {m}"
    )


def randomise(net: torch.nn.Module, seed: int) -> None:
    """Nothing at a default: affine weights, biases and running statistics are drawn as well."""
    g = gen(seed)
    for name, t in net.state_dict().items():
        if t.dtype == torch.int64:
            continue
        noise = torch.randn(t.shape, generator=g, dtype=t.dtype)
        if t.ndim > 1:
            t.copy_(noise * (2 / t[0].numel()) ** 0.5)
        elif name.endswith("var"):
            t.copy_(1 + 0.3 * noise.abs())
        elif name.endswith("bn.weight") or name in ("stem.1.weight", "last_bn.weight"):
            t.copy_(1 + 0.1 * noise)
        else:
            t.copy_(0.1 * noise)


def as_reference(named: dict[str, Tensor], cells: int) -> dict[str, Tensor]:
    """Tensors under the product's names (weights, gradients, statistics), renamed and unstacked."""
    stat = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    out: dict[str, Tensor] = {}
    for name, value in named.items():
        part = name.split(".")
        if part[-1] == "num_batches_tracked":
            continue
        if part[0] == "stem":
            out["stem.conv" if part[1] == "0" else f"stem.bn.{stat[part[2]]}"] = value
        elif part[0] == "last_bn":
            out[f"last.bn.{stat[part[1]]}"] = value
        elif part[0] == "classifier":
            out[name] = value
        elif (int(part[1]) + 1) % (cells + 1) == 0:  # N cells, a reduction, N cells, ...
            block = f"reduce{int(part[1]) // (cells + 1)}.{part[2]}"
            out[f"{block}.{stat[part[3]]}" if "bn" in part[2] else block] = value
        else:
            cell = f"cell{int(part[1]) - int(part[1]) // (cells + 1)}"
            out |= _cell_part(cell, part[2:], value, stat)
    return out


def _cell_part(cell, part, value, stat):
    if part[0] == "edges":
        name = f"{cell}.edge{part[1]}.conv{part[2][-3:]}"
        return {name if part[3] == "conv" else f"{name}.{stat[part[4]]}": value}
    edges = OUTGOING[int(part[1])]
    if part[2] == "bn":
        names = [f"{cell}.edge{e}.conv{k}.{stat[part[3]]}" for k in ("3x3", "1x1") for e in edges]
    else:
        k = {"conv3": "3x3", "conv1": "1x1"}[part[2]]
        names = [f"{cell}.edge{e}.conv{k}" for e in edges]
    return dict(zip(names, value.chunk(len(names)), strict=True))


def split(state: dict[str, Tensor], cells: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and running statistics for the reference, copied."""
    named = {n: t.detach().clone() for n, t in as_reference(state, cells).items()}
    stats = {n: t for n, t in named.items() if n.endswith((".mean", ".var"))}
    return {n: t for n, t in named.items() if n not in stats}, stats


def random_mask(seed: int) -> Tensor:
    mask = torch.rand(SHAPE, generator=gen(seed)) < 0.5
    mask[0, range(6), torch.randint(5, (6,), generator=gen(seed + 99))] = True
    return mask


def one_hot_mask(seed: int) -> Tensor:
    return F.one_hot(torch.randint(5, SHAPE[:2], generator=gen(seed)), 5).bool()


def theta_of(seed: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(SHAPE, generator=gen(seed), dtype=dtype).softmax(-1)


# --- against the reference ----------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("scaled", [False, True], ids=["", "scale"])
@pytest.mark.parametrize("mask", [None, 3, "one-hot"], ids=["all", "mask", "one-hot"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_supernet_equals_the_reference(fused, k, mask, scaled, train):
    cells = 2
    settings = SupernetSettings(channels=4, cells=cells, partial=k, fused=fused)
    net = NB201Supernet(settings, in_channels=2, classes=3).to(F64).train(train)
    randomise(net, seed=1)
    params, stats = split(net.state_dict(), cells)
    assert params.keys() == reference.parameter_shapes(4, cells, 3, 2, k).keys()

    x = torch.randn(4, 2, 8, 8, generator=gen(2), dtype=F64)
    labels = torch.tensor([0, 2, 1, 1])
    # Where `active` is False the weight counts as 0 whatever it is: theta isn't renormalised here.
    active = None if mask is None else one_hot_mask(5) if mask == "one-hot" else random_mask(mask)
    scale = 0.5 + torch.rand(SHAPE[:2], generator=gen(4), dtype=F64) if scaled else None

    theta = theta_of(3).requires_grad_()
    ours_scale = None if scale is None else scale.clone().requires_grad_()
    logits = net(x, ArchSample(theta, active, ours_scale))
    loss = F.cross_entropy(logits, labels)
    wanted = [theta, *net.parameters(), *([] if scale is None else [ours_scale])]
    ours = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    names = [name for name, _ in net.named_parameters()]
    ours_weights = as_reference(dict(zip(names, ours[1:], strict=False)), cells)

    leaves = {n: p.requires_grad_() for n, p in params.items()}
    theirs_theta = theta.detach()[0].clone().requires_grad_()
    theirs_scale = None if scale is None else scale[0].clone().requires_grad_()
    expected, new_stats = reference.forward(
        leaves,
        stats,
        x,
        theirs_theta,
        partial_k=k,
        train=train,
        active=None if active is None else active[0],
        edge_scale=theirs_scale,
    )
    loss = reference.cross_entropy(expected, labels)
    wanted = [theirs_theta, *leaves.values(), *([] if scale is None else [theirs_scale])]
    theirs = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)

    close(logits, expected, 1e-9, "logits")
    close(ours[0][0], theirs[0], 1e-9, "gradient of theta")
    assert ours[0].abs().max() > 1e-6  # the comparison isn't of zeros
    if active is not None:
        assert (ours[0][~active] == 0).all()
    for name, gradient in zip(leaves, theirs[1:], strict=False):
        close(ours_weights[name], gradient, 1e-9, name)
    if scale is not None:
        close(ours[-1][0], theirs[-1], 1e-9, "gradient of scale")
    _, after = split(net.state_dict(), cells)
    assert after.keys() == new_stats.keys()
    for name, value in new_stats.items():
        close(after[name], value, 1e-9, name)


def _images(n: int, seed: int):
    g = gen(seed)
    return [
        (
            torch.randn(8, 1, 8, 8, generator=g, dtype=F64),
            torch.randint(10, (8,), generator=g),
        )
        for _ in range(n)
    ]


class Steps:
    """The product's run and the reference, stepped on the same batches from the same start."""

    def __init__(self, run, steps: int = 20) -> None:
        self.run, self.steps = run, steps
        randomise(run.net, seed=7)
        self.train, self.val = _images(steps, 8), _images(steps, 9)
        self.cells = run.config.supernet.cells
        self.start = split(run.net.state_dict(), self.cells)
        self.alpha = run.arch.alpha.detach()[0].clone()

    def product(self) -> None:
        run = self.run
        run.net.train()
        for step in range(self.steps):
            run.set_lr(step, self.steps)
            run.method.arch_step(run, self.train[step], self.val[step])
            run.method.weight_step(run, self.train[step])

    def reference(self, mode, **more):
        config = self.run.config
        w = config.weights
        settings = reference.SearchSettings(
            lr=[
                w.lr_min
                + (w.lr - w.lr_min)
                * (1 + torch.cos(torch.tensor(torch.pi * t / self.steps / config.epochs)).item())
                / 2
                for t in range(self.steps)
            ],
            momentum=w.momentum,
            weight_decay=w.weight_decay,
            clip=w.clip,
            arch_lr=config.arch.lr,
            arch_weight_decay=1e-3,
            include_alpha_in_clip=w.clip_over_arch,
            partial_k=config.supernet.partial,
            active=None if self.run.active is None else self.run.active[0],
            unused_as_zero=True,
            **more,
        )
        return reference.search_steps(*self.start, self.alpha, self.train, self.val, mode, settings)

    def compare(self, history) -> None:
        last = history[-1]
        assert (last.alpha - self.alpha).abs().max() > 0.05  # it went somewhere
        close(self.run.arch.alpha.detach()[0], last.alpha, 1e-8, "alpha")
        params, stats = split(self.run.net.state_dict(), self.cells)
        for name, value in {**last.params, **last.stats}.items():
            close({**params, **stats}[name], value, 2e-8, name)


STEP_SETTINGS = {"lr": 0.05, "schedule": "step", "momentum": 0.9, "nesterov": False, "clip": 1.0}


@pytest.mark.long
@pytest.mark.parametrize(
    ("over_arch", "fused"),
    [(False, True), (True, True), (True, False)],
    ids=["clip-weights", "clip-over-arch", "clip-over-arch-plain"],
)
def test_20_darts_steps_equal_the_reference(tiny_run, over_arch, fused):
    run = tiny_run(
        "darts",
        dtype=F64,
        weights={**STEP_SETTINGS, "clip_over_arch": over_arch},
        supernet={"fused": fused},
    )
    both = Steps(run)
    both.product()
    history = both.reference("darts")
    assert any(step.weight_norm > 1.0 for step in history)  # clipping is at work
    both.compare(history)


@pytest.mark.long
def test_pruned_partial_darts_steps_equal_the_reference(tiny_run):
    run = tiny_run("darts", dtype=F64, weights=STEP_SETTINGS, supernet={"partial": 2})
    run.active = random_mask(11)
    both = Steps(run, steps=8)
    both.product()
    both.compare(both.reference("darts"))


@pytest.mark.long
@pytest.mark.parametrize("over_arch", [False, True], ids=["clip-weights", "clip-over-arch"])
def test_20_drnas_steps_equal_the_reference(tiny_run, monkeypatch, over_arch):
    # A small clip and large logits' gradients, so that alpha's share of the norm is felt.
    run = tiny_run("drnas", dtype=F64, weights={**STEP_SETTINGS, "clip_over_arch": over_arch})
    both = Steps(run)
    draws = torch.distributions.Dirichlet(torch.ones(40, 6, 5, dtype=F64) * 1.5)
    torch.manual_seed(12)
    thetas = list(draws.sample())
    coming = iter(thetas)

    def fixed(beta: Tensor, active: Tensor | None) -> Tensor:
        assert active is None
        return reference.FixedDraw.apply(beta[0], next(coming))[None]

    monkeypatch.setattr(drnas_module, "draw", fixed)
    both.product()
    assert next(coming, None) is None  # one draw for each forward pass, no more
    maps = [reference.fixed_draw(theta) for theta in thetas]
    pairs = list(zip(maps[::2], maps[1::2], strict=True))
    both.compare(both.reference(pairs))


def test_clipping_over_the_architecture_changes_the_step(tiny_run):
    moved = []
    for over_arch in (False, True):
        run = tiny_run(
            "darts", dtype=F64, weights={**STEP_SETTINGS, "clip": 1e-3, "clip_over_arch": over_arch}
        )
        Steps(run, steps=1).product()
        moved.append(run.net.classifier.weight.detach().clone())
    assert not torch.equal(*moved)


# --- the two cells ------------------------------------------------------------------------------


def converted(plain: PlainCell, channels: int, k: int) -> FusedCell:
    fused = FusedCell(channels, k).to(next(plain.parameters()).dtype)
    state = fused_state({f"body.0.{n}": t for n, t in plain.state_dict().items()})
    fused.load_state_dict({n.removeprefix("body.0."): t.clone() for n, t in state.items()})
    return fused


def outcome(cell, x: Tensor, theta: Tensor, active, scale, cotangent: Tensor):
    x, theta = x.clone().requires_grad_(), theta.clone().requires_grad_()
    out = cell(x, PreparedSample(ArchSample(theta, active, scale)))
    wanted = [x, theta, *cell.parameters()]
    loss = (out * cotangent).sum() + 0 * x.sum()  # so that there is a graph with all edges cut
    grads = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    names = [f"body.0.{n}" for n, _ in cell.named_parameters()]
    weights = as_reference(dict(zip(names, grads[2:], strict=True)), cells=1)
    state = {f"body.0.{n}": t for n, t in cell.state_dict().items()}
    return out.detach(), grads[0], grads[1], weights, split(state, 1)[1]


MASKS = {
    "all": lambda: None,
    "random-1": lambda: random_mask(21),
    "random-2": lambda: random_mask(22),
    "random-3": lambda: random_mask(23),
    "one-hot-1": lambda: one_hot_mask(24),
    "one-hot-2": lambda: one_hot_mask(25),
    "none": lambda: F.one_hot(torch.zeros(SHAPE[:2], dtype=torch.int64), 5).bool(),
}


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3)], ids=str)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_fused_cell_equals_plain_cell(k, mask, size):
    for dtype, tolerance in ((F64, 1e-9), (torch.float32, 1e-4)):
        if dtype == torch.float32 and size == (1, 3):
            continue  # a variance over 12 numbers near 0 magnifies rounding
        for train in (True, False):
            plain = PlainCell(8, k).to(dtype).train(train)
            randomise(plain, seed=31)
            fused = converted(plain, 8, k).train(train)
            x = torch.randn(4, 8, *size, generator=gen(32), dtype=dtype)
            cotangent = torch.randn(4, 8, *size, generator=gen(33), dtype=dtype)
            scale = None
            if mask == "random-3":
                scale = torch.rand(SHAPE[:2], generator=gen(34), dtype=dtype)
            given = (x, theta_of(35, dtype), MASKS[mask](), scale, cotangent)
            a, b = outcome(plain, *given), outcome(fused, *given)
            for what, ours, theirs in zip(("output", "d x", "d theta"), a[:3], b[:3], strict=True):
                close(ours, theirs, tolerance, f"{what} {dtype} train={train}")
            for part in (3, 4):
                assert a[part].keys() == b[part].keys()
                for name, value in a[part].items():
                    close(b[part][name], value, tolerance, name)
            if mask == "none" and k == 1:
                assert (a[0] == 0).all()


def test_random_masks_keep_the_cells_equal():
    plain = PlainCell(4, 1).to(F64)
    randomise(plain, seed=41)
    fused = converted(plain, 4, 1)
    x = torch.randn(2, 4, 5, 3, generator=gen(42), dtype=F64)
    for seed in range(60):  # also masks in which an edge keeps nothing at all
        active = torch.rand(SHAPE, generator=gen(seed)) < 0.3
        sample = PreparedSample(ArchSample(theta_of(seed), active))
        close(fused(x, sample), plain(x, sample), 1e-9, str(active.int().tolist()))
    state = {f"body.0.{n}": t for n, t in fused.state_dict().items()}
    ours = {f"body.0.{n}": t for n, t in plain.state_dict().items()}
    for name, value in split(ours, 1)[1].items():
        close(split(state, 1)[1][name], value, 1e-9, name)


@pytest.mark.parametrize("k", [1, 2])
def test_conversion_goes_both_ways_exactly(k):
    nets = [
        NB201Supernet(
            SupernetSettings(channels=4, cells=2, partial=k, fused=fused), in_channels=1, classes=3
        )
        for fused in (False, True)
    ]
    for net, there, back in (
        (nets[0], fused_state, plain_state),
        (nets[1], plain_state, fused_state),
    ):
        randomise(net, seed=51)
        net.stem[1].num_batches_tracked.fill_(7)
        state = net.state_dict()
        other = there(state)
        again = back(other)
        assert again.keys() == state.keys()
        assert all(torch.equal(again[name], value) for name, value in state.items())
        target = nets[1] if net is nets[0] else nets[0]
        assert other.keys() == target.state_dict().keys()
        assert sum(t.numel() for n, t in other.items() if n.endswith("weight")) == sum(
            t.numel() for n, t in state.items() if n.endswith("weight")
        )


def test_converted_supernets_agree():
    x = torch.randn(3, 1, 9, 7, generator=gen(61), dtype=F64)
    plain, fused = (
        NB201Supernet(
            SupernetSettings(channels=4, cells=1, fused=fused), in_channels=1, classes=3
        ).to(F64)
        for fused in (False, True)
    )
    randomise(plain, seed=62)
    fused.load_state_dict(fused_state(plain.state_dict()))
    sample = ArchSample(theta_of(63))
    close(fused(x, sample), plain(x, sample), 1e-9)


# --- second derivatives, pools, counts ----------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 2, 1, 3), (1, 1, 1, 1)], ids=str)
def test_fast_average_pool(shape):
    x = torch.randn(shape, generator=gen(71), dtype=F64).requires_grad_()
    close(fast_average_pool(x), average_pool(x), 1e-12)
    close(fast_average_pool(x), reference.avg_pool_3x3(x), 1e-12)
    strided = x.transpose(2, 3)
    close(fast_average_pool(strided), average_pool(strided), 1e-12)
    assert torch.autograd.gradcheck(fast_average_pool, [x])
    assert torch.autograd.gradgradcheck(fast_average_pool, [x])
    assert torch.autograd.gradgradcheck(lambda t: fast_average_pool(t) ** 3, [x])


@pytest.mark.parametrize("k", [1, 2])
def test_second_derivatives_agree(k):
    """Hessian times a vector, for alpha and the mixed one for weights: what eigenvalues need."""
    plain = PlainCell(4, k).to(F64)
    randomise(plain, seed=81)
    fused = converted(plain, 4, k)
    x = torch.randn(3, 4, 5, 4, generator=gen(82), dtype=F64)
    vector = torch.randn(SHAPE, generator=gen(83), dtype=F64)
    found = []
    for cell in (plain, fused):
        alpha = torch.randn(SHAPE, generator=gen(84), dtype=F64).requires_grad_()
        out = cell(x, PreparedSample(ArchSample(alpha.softmax(-1))))
        loss = torch.tanh(out).square().mean()
        (first,) = torch.autograd.grad(loss, [alpha], create_graph=True)
        second = torch.autograd.grad((first * vector).sum(), [alpha, *cell.parameters()])
        names = [f"body.0.{n}" for n, _ in cell.named_parameters()]
        mixed = as_reference(dict(zip(names, second[1:], strict=True)), cells=1)
        found.append((second[0], mixed))
    assert found[0][0].abs().max() > 1e-4
    close(found[1][0], found[0][0], 1e-9, "alpha alpha")
    for name, value in found[0][1].items():
        close(found[1][1][name], value, 1e-9, name)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize(
    ("classes", "expected"), [(10, 1_686_106), (100, 1_691_956), (120, 1_693_256)]
)
def test_published_parameter_counts(classes, expected, fused):
    net = NB201Supernet(SupernetSettings(fused=fused), in_channels=3, classes=classes)
    assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize("side", [8, 7, 1])
def test_reduction_block_halves_rounding_up(side):
    block = ReductionBlock(3)
    assert block(torch.randn(4, 3, side, side)).shape == (4, 6, (side + 1) // 2, (side + 1) // 2)


def test_the_sample_leaves_no_trace():
    net = NB201Supernet(SupernetSettings(channels=4, cells=1), in_channels=1, classes=2).eval()
    x = torch.randn(2, 1, 6, 6, generator=gen(91))
    first = net(x, ArchSample(theta_of(1, torch.float32)))
    net(x, ArchSample(theta_of(2, torch.float32), random_mask(3)))
    assert torch.equal(net(x, ArchSample(theta_of(1, torch.float32))), first)
