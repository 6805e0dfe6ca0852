"""Checks of the reference itself against torch, scipy and hand-worked cases (not the product)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from . import nb201 as ref

pytestmark = pytest.mark.long

F64 = torch.float64


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=gen(seed), dtype=F64)


def small(partial_k: int = 1, C: int = 4, N: int = 1, classes: int = 3):
    params = ref.init_params(C, N, classes, 3, gen(1), F64, partial_k)
    return params, ref.init_stats(C, N, F64, partial_k)


def batches(n: int, seed: int, size: int = 4, classes: int = 3):
    g = gen(seed)
    return [
        (
            torch.randn(size, 3, 8, 8, generator=g, dtype=F64),
            torch.randint(classes, (size,), generator=g),
        )
        for _ in range(n)
    ]


# --- counts and shapes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "expected"), [(10, 1_686_106), (100, 1_691_956), (120, 1_693_256)]
)
def test_published_parameter_counts(classes, expected):
    assert ref.count(ref.init_params(16, 5, classes, 3, gen(), torch.float32)) == expected


def test_partial_channels_shrink_only_the_cells():
    # Cells: 5 cells x 6 edges x 10 (c/K)^2 for each stage; the rest has 73,306 weights.
    fixed = 1_686_106 - 300 * (16**2 + 32**2 + 64**2)
    params = ref.init_params(16, 5, 10, 3, gen(), torch.float32, partial_k=4)
    assert ref.count(params) == fixed + 300 * (4**2 + 8**2 + 16**2)
    with pytest.raises(ValueError, match="cannot be cut"):
        ref.init_params(6, 1, 10, 3, gen(), torch.float32, partial_k=4)


def test_stats_have_a_pair_for_each_norm():
    stats = ref.init_stats(16, 5, F64)
    assert len(stats) == 2 * (1 + 15 * 6 * 2 + 2 * 2 + 1)
    assert stats["cell14.edge5.conv3x3.var"].shape == (64,)


# --- layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(train, affine):
    x = (3 * randn(4, 5, 3, 6) + 2).requires_grad_()
    mean, var = randn(5, seed=1), randn(5, seed=2).abs() + 0.5
    w, b = (randn(5, seed=3), randn(5, seed=4)) if affine else (None, None)
    y, new_mean, new_var = ref.batch_norm(x, mean, var, w, b, train=train)
    theirs_mean, theirs_var = mean.clone(), var.clone()
    theirs = F.batch_norm(x, theirs_mean, theirs_var, w, b, training=train)
    torch.testing.assert_close(y, theirs)
    torch.testing.assert_close(new_mean, theirs_mean)
    torch.testing.assert_close(new_var, theirs_var)
    assert not new_mean.requires_grad
    cotangent = randn(*y.shape, seed=5)
    (ours,) = torch.autograd.grad(y, x, cotangent)
    torch.testing.assert_close(ours, torch.autograd.grad(theirs, x, cotangent)[0])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 8)])
def test_pools(size):
    x = randn(2, 3, *size)
    theirs = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(ref.avg_pool_3x3(x), theirs)
    if min(size) > 1:
        torch.testing.assert_close(ref.avg_pool_2x2(x), F.avg_pool2d(x, 2, 2))


def test_small_formulas():
    x = randn(6, 5)
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    torch.testing.assert_close(ref.softmax(x), torch.softmax(x, dim=-1))
    torch.testing.assert_close(ref.cross_entropy(50 * x, labels), F.cross_entropy(50 * x, labels))
    torch.testing.assert_close(ref.concentration(x), F.elu(x) + 1)
    z = randn(2, 12, 3, 3)
    torch.testing.assert_close(ref.channel_shuffle(z, 4), F.channel_shuffle(z, 4))
    torch.testing.assert_close(ref.relu(z), F.relu(z))


def test_concentration_gradient_at_zero_and_far_out():
    alpha = torch.tensor([-800.0, 0.0, 800.0], dtype=F64, requires_grad=True)
    beta = ref.concentration(alpha)
    assert beta.tolist() == [0.0, 1.0, 801.0]
    assert torch.autograd.grad(beta.sum(), alpha)[0].tolist() == [0.0, 1.0, 1.0]


# --- supernet -----------------------------------------------------------------------------------


def plain_network(params, x, body):
    """Stem, ``body(x, stage)``, reductions and head, with torch's layers, in train mode."""

    def bn(z, name):
        return F.batch_norm(
            z, None, None, params[f"{name}.weight"], params[f"{name}.bias"], training=True
        )

    x = bn(F.conv2d(x, params["stem.conv"], padding=1), "stem.bn")
    for stage in range(3):
        if stage:
            r = f"reduce{stage - 1}"
            y = bn(F.conv2d(F.relu(x), params[f"{r}.conv_a"], stride=2, padding=1), f"{r}.bn_a")
            y = bn(F.conv2d(F.relu(y), params[f"{r}.conv_b"], padding=1), f"{r}.bn_b")
            x = y + F.conv2d(F.avg_pool2d(x, 2, 2), params[f"{r}.shortcut"])
        x = body(x, stage)
    x = F.adaptive_avg_pool2d(F.relu(bn(x, "last.bn")), 1).flatten(1)
    return F.linear(x, params["classifier.weight"], params["classifier.bias"])


def one_op(op: str) -> torch.Tensor:
    theta = torch.zeros(6, 5, dtype=F64)
    theta[:, ref.OPS.index(op)] = 1
    return theta


def test_all_skip_cell_is_four_times_its_input():
    params, stats = small()
    x = randn(2, 3, 8, 8)
    logits, _ = ref.forward(params, stats, x, one_op("skip_connect"))
    torch.testing.assert_close(logits, plain_network(params, x, lambda z, _: 4 * z))


def test_all_pool_cell():
    def cell(x, _):
        def pool(z):
            return F.avg_pool2d(z, 3, 1, 1, count_include_pad=False)

        one = pool(x)
        two = pool(x) + pool(one)
        return pool(x) + pool(one) + pool(two)

    params, stats = small()
    x = randn(2, 3, 8, 8)
    logits, _ = ref.forward(params, stats, x, one_op("avg_pool_3x3"))
    torch.testing.assert_close(logits, plain_network(params, x, cell))


@pytest.mark.parametrize("k", [1, 2])
def test_mixed_cell_written_again_with_torch_layers(k):
    params, stats = small(partial_k=k)
    x = randn(3, 3, 8, 8)
    theta = ref.softmax(randn(6, 5, seed=7))
    scale = randn(6, seed=8)

    def edge(z, stage, e):
        m = z.shape[1] // k
        top = z[:, :m]
        convs = []
        for size in (1, 3):
            weight = params[f"cell{stage}.edge{e}.conv{size}x{size}"]
            y = F.conv2d(F.relu(top), weight, padding=size // 2)
            convs.append(F.batch_norm(y, None, None, training=True))
        pool = F.avg_pool2d(top, 3, 1, 1, count_include_pad=False)
        t = theta[e]
        mixed = t[1] * top + t[2] * convs[0] + t[3] * convs[1] + t[4] * pool
        return scale[e] * F.channel_shuffle(torch.cat([mixed, z[:, m:]], dim=1), k)

    def cell(x, stage):
        one = edge(x, stage, 0)
        two = edge(x, stage, 1) + edge(one, stage, 2)
        return edge(x, stage, 3) + edge(one, stage, 4) + edge(two, stage, 5)

    logits, _ = ref.forward(params, stats, x, theta, partial_k=k, edge_scale=scale)
    torch.testing.assert_close(logits, plain_network(params, x, cell))


def test_running_statistics_and_evaluation():
    params, stats = small()
    x = 2 * randn(4, 3, 8, 8) + 1
    theta = ref.softmax(randn(6, 5))
    before = {n: v.clone() for n, v in stats.items()}
    _, new = ref.forward(params, stats, x, theta)
    assert all(torch.equal(stats[n], before[n]) for n in stats)
    assert all(not torch.equal(new[n], stats[n]) for n in stats)
    stem = F.conv2d(x, params["stem.conv"], padding=1)
    torch.testing.assert_close(new["stem.bn.mean"], 0.1 * stem.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(new["stem.bn.var"], 0.9 + 0.1 * stem.var(dim=(0, 2, 3)))
    logits, same = ref.forward(params, new, x, theta, train=False)
    assert all(torch.equal(same[n], new[n]) for n in new)
    # In evaluation an image's logits do not depend on its neighbours.
    alone, _ = ref.forward(params, new, x[:1], theta, train=False)
    torch.testing.assert_close(logits[:1], alone)


def test_inactive_ops_add_nothing_and_keep_their_statistics():
    params, stats = small()
    x = randn(2, 3, 8, 8)
    active = torch.ones(6, 5, dtype=torch.bool)
    active[2, 3] = active[4, 0] = active[5, 2] = False
    theta = ref.masked_theta(ref.softmax(randn(6, 5)), active)
    torch.testing.assert_close(theta.sum(dim=1), torch.ones(6, dtype=F64))
    masked, new = ref.forward(params, stats, x, theta, active=active)
    full, _ = ref.forward(params, stats, x, theta)
    torch.testing.assert_close(masked, full)
    still = {n for n in stats if torch.equal(new[n], stats[n])}
    assert still == {f"cell{i}.{e}.{s}" for i in range(3) for s in ("mean", "var")
                     for e in ("edge2.conv3x3", "edge5.conv1x1")}  # fmt: skip


def test_theta_gradient_by_differences():
    params, stats = small()
    ((x, y),) = batches(1, 3)
    theta = ref.softmax(randn(6, 5)).requires_grad_()

    def loss(t):
        return ref.cross_entropy(ref.forward(params, stats, x, t)[0], y)

    (gradient,) = torch.autograd.grad(loss(theta), theta)
    for _ in range(3):
        direction = randn(6, 5, seed=_ + 20)
        h = 1e-5
        with torch.no_grad():
            slope = (loss(theta + h * direction) - loss(theta - h * direction)) / (2 * h)
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-6, atol=1e-9)
    # `none` has no derivative of its own.
    assert torch.equal(gradient[:, 0], torch.zeros(6, dtype=F64))


# --- the distribution ---------------------------------------------------------------------------


def test_kl_and_l2():
    beta = ref.concentration(2 * randn(6, 5))
    dirichlet = torch.distributions.Dirichlet
    theirs = torch.distributions.kl_divergence(
        dirichlet(beta), dirichlet(torch.ones_like(beta))
    ).sum()
    torch.testing.assert_close(ref.kl_to_uniform_dirichlet(beta), theirs)
    assert ref.kl_to_uniform_dirichlet(torch.ones(6, 5, dtype=F64)).abs() < 1e-12
    torch.testing.assert_close(ref.l2_beta(beta), torch.linalg.vector_norm(beta - 1))
    ones = torch.ones(6, 5, dtype=F64, requires_grad=True)
    assert torch.equal(torch.autograd.grad(ref.l2_beta(ones), ones)[0], torch.zeros_like(ones))


def torch_jacobian(theta: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Row i of d theta_i / d beta_j from the backward formula of torch's Dirichlet.rsample."""
    t, b = torch.as_tensor(theta), torch.as_tensor(beta)
    per_j = torch._dirichlet_grad(t, b, b.sum(-1, keepdim=True).expand_as(b))
    return (per_j * (torch.eye(len(b), dtype=F64) - t[:, None])).numpy()


@pytest.mark.parametrize(
    "beta",
    [
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [1.001, 0.998, 1.0, 1.002, 0.9995],
        [0.3, 0.8, 1.7, 2.5, 0.5],
        [3.0, 5.0, 2.0, 8.0, 4.0],
    ],
)
def test_pathwise_jacobian_against_torch(beta):
    beta = np.array(beta)
    rng = np.random.default_rng(3)
    for theta in rng.dirichlet(beta, size=25):
        ours = ref.dirichlet_pathwise_jacobian(theta, beta)
        # The point stays on the simplex.
        np.testing.assert_allclose(ours.sum(axis=0), 0, atol=1e-9 * np.abs(ours).max())
        # torch approximates the derivative, to about 1.3e-3.
        np.testing.assert_allclose(ours, torch_jacobian(theta, beta), rtol=2e-3, atol=1e-12)


def test_pathwise_jacobian_in_closed_form():
    # Two ops, beta = (a, 1): theta_0 = u^(1/a), so d theta_0 / da = -theta_0 log(theta_0) / a.
    for a in (0.2, 1.0, 4.0):
        for t in (0.003, 0.3, 0.9, 0.999):
            ours = ref.dirichlet_pathwise_jacobian(np.array([t, 1 - t]), np.array([a, 1.0]))
            np.testing.assert_allclose(ours[0, 0], -t * np.log(t) / a, rtol=1e-8)
            np.testing.assert_allclose(ours[1, 0], t * np.log(t) / a, rtol=1e-8)


def test_pathwise_jacobian_differentiates_the_mean():
    # E[J] = d E[theta] / d beta = (delta_ij beta_tot - beta_i) / beta_tot^2.
    beta = np.array([0.7, 1.5, 1.0])
    draws = np.random.default_rng(5).dirichlet(beta, size=300)
    mean = np.mean([ref.dirichlet_pathwise_jacobian(t, beta) for t in draws], axis=0)
    total = beta.sum()
    np.testing.assert_allclose(mean, (np.eye(3) * total - beta[:, None]) / total**2, atol=0.02)


def test_fixed_draw_has_the_gradient_of_rsample():
    alpha = (0.3 * randn(6, 5)).requires_grad_()
    cotangent = randn(6, 5, seed=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        draw = torch.distributions.Dirichlet(F.elu(alpha) + 1).rsample()
    (theirs,) = torch.autograd.grad(draw, alpha, cotangent)
    theta = ref.fixed_draw(draw.detach())(alpha)
    torch.testing.assert_close(theta, draw)
    (ours,) = torch.autograd.grad(theta, alpha, cotangent)
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=1e-4)


# --- optimisers and search ----------------------------------------------------------------------


def test_optimisers_on_a_toy():
    start, pull = randn(7), randn(7, seed=1)
    for kind in ("adam", "sgd"):
        theirs = start.clone().requires_grad_()
        optimiser = (
            torch.optim.Adam([theirs], lr=0.01, betas=(0.5, 0.999), weight_decay=1e-2)
            if kind == "adam"
            else torch.optim.SGD([theirs], lr=0.01, momentum=0.9, weight_decay=1e-2)
        )
        ours, state = start, None
        for _ in range(10):
            optimiser.zero_grad()
            torch.sin(theirs * pull).sum().backward()
            optimiser.step()
            g = torch.cos(ours * pull) * pull
            if kind == "adam":
                ours, state = ref.adam_step(ours, g, state, lr=0.01, weight_decay=1e-2)
            else:
                ours, state = ref.sgd_step(ours, g, state, lr=0.01, momentum=0.9, weight_decay=1e-2)
            torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.long
@pytest.mark.parametrize("mode", ["darts", "drnas"])
@pytest.mark.parametrize("alpha_in_clip", [False, True])
def test_search_steps_against_torch_optimisers(mode, alpha_in_clip):
    params, stats = small(partial_k=2)
    # Tiny clip: the clip is at work in every step. Large alpha, so the decay shows.
    alpha = 0.5 * randn(6, 5)
    n = 3
    train, val = batches(n, 11), batches(n, 12)
    lrs = [0.1, 0.07, 0.02]

    def penalty(a):
        return 0.1 * ref.kl_to_uniform_dirichlet(ref.concentration(a))

    def gamma_like(seed):  # some smooth map alpha -> simplex, another one for every pass
        noise = randn(6, 5, seed=seed).exp()
        return lambda a: ref.softmax(torch.log(ref.concentration(a)) + noise * a)

    pairs = [(gamma_like(100 + t), gamma_like(200 + t)) for t in range(n)]
    settings = ref.SearchSettings(
        lr=lrs, clip=0.05, arch_lr=0.01, penalty=penalty, partial_k=2,
        include_alpha_in_clip=alpha_in_clip,
    )  # fmt: skip
    history = ref.search_steps(
        params, stats, alpha, train, val, "darts" if mode == "darts" else pairs, settings
    )

    w = {name: p.clone().requires_grad_() for name, p in params.items()}
    a = alpha.clone().requires_grad_()
    adam = torch.optim.Adam([a], lr=0.01, betas=(0.5, 0.999), weight_decay=1e-3)
    sgd = torch.optim.SGD(list(w.values()), lr=0.1, momentum=0.9, weight_decay=3e-4)
    for t in range(n):
        fa, fw = (ref.softmax, ref.softmax) if mode == "darts" else pairs[t]
        adam.zero_grad()
        sgd.zero_grad()
        logits, stats = ref.forward(w, stats, val[t][0], fa(a), partial_k=2)
        arch_loss = F.cross_entropy(logits, val[t][1]) + penalty(a)
        arch_loss.backward()
        adam.step()
        adam.zero_grad()
        sgd.zero_grad()
        logits, stats = ref.forward(w, stats, train[t][0], fw(a), partial_k=2)
        weight_loss = F.cross_entropy(logits, train[t][1])
        weight_loss.backward()
        clipped = [*w.values(), a] if alpha_in_clip else list(w.values())
        norm = torch.nn.utils.clip_grad_norm_(clipped, 0.05)
        sgd.param_groups[0]["lr"] = lrs[t]
        sgd.step()
        step = history[t]
        torch.testing.assert_close(step.alpha, a.detach())
        for name, theirs in w.items():
            torch.testing.assert_close(step.params[name], theirs.detach())
        for name in stats:
            torch.testing.assert_close(step.stats[name], stats[name])
        assert step.arch_loss == pytest.approx(float(arch_loss.detach()))
        assert step.weight_loss == pytest.approx(float(weight_loss.detach()))
        assert step.weight_norm == pytest.approx(float(norm))
        assert step.weight_norm > 0.05


def test_search_options():
    params, stats = small()
    alpha = 0.1 * randn(6, 5)
    train, val = batches(2, 11), batches(2, 12)
    late = ref.search_steps(
        params, stats, alpha, train, val, "darts", ref.SearchSettings(arch_start=1)
    )
    assert torch.equal(late[0].alpha, alpha)
    assert late[0].arch_loss is None
    assert not torch.equal(late[1].alpha, alpha)
    # An inactive convolution: left alone, or decaying.
    active = torch.ones(6, 5, dtype=torch.bool)
    active[:, 3] = False
    name = "cell1.edge2.conv3x3"
    for as_zero, factor in ((False, 1.0), (True, 1 - 0.025 * 3e-4)):
        settings = ref.SearchSettings(active=active, unused_as_zero=as_zero)
        first = ref.search_steps(params, stats, alpha, train, val, "darts", settings)[0]
        torch.testing.assert_close(first.params[name], factor * params[name], rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="unknown mode"):
        ref.search_steps(params, stats, alpha, train, val, "drnas")


def test_a_drnas_search_with_fixed_dirichlet_draws_runs():
    params, stats = small()
    alpha = 1e-3 * randn(6, 5)
    draws = torch.as_tensor(np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 2, 6)))
    pairs = [(ref.fixed_draw(d[0]), ref.fixed_draw(d[1])) for d in draws]
    history = ref.search_steps(params, stats, alpha, batches(2, 1), batches(2, 2), pairs)
    # Adam's first step is lr in every coordinate whose gradient is not tiny.
    moved = (history[0].alpha - alpha).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 3e-4), rtol=0.05, atol=0)


def test_unrolled_gradient_in_closed_form():
    # L_train = |w - A a|^2 / 2, L_val = |w - t|^2 / 2 + c.a: with w' = w - lr (m b + w - A a + d w)
    # the gradient is lr A^T (w' - t) + c.
    A, t, c = randn(4, 3), randn(4, seed=1), randn(3, seed=2)
    w, b, alpha = randn(4, seed=3), randn(4, seed=4), randn(3, seed=5)
    lr, m, d = 0.1, 0.9, 0.01
    ours = ref.unrolled_arch_gradient(
        lambda ws, a: ((ws[0] - A @ a) ** 2).sum() / 2,
        lambda ws, a: ((ws[0] - t) ** 2).sum() / 2 + c @ a,
        [w], alpha, lr, momentum_buffers=[b], momentum=m, weight_decay=d,
    )  # fmt: skip
    stepped = w - lr * (m * b + w - A @ alpha + d * w)
    torch.testing.assert_close(ours, lr * A.T @ (stepped - t) + c)


def test_unrolled_gradient_of_the_supernet_by_differences():
    params, stats = small()
    names = list(params)
    train, val = batches(1, 1)[0], batches(1, 2)[0]
    alpha = 0.1 * randn(6, 5)

    def loss(batch):
        def f(ws, a):
            p = dict(zip(names, ws, strict=True))
            return ref.cross_entropy(ref.forward(p, stats, batch[0], ref.softmax(a))[0], batch[1])

        return f

    w = list(params.values())
    buffers = [0.01 * randn(*p.shape, seed=9) for p in w]

    def outer(a):
        leaves = [p.clone().requires_grad_() for p in w]
        grads = torch.autograd.grad(loss(train)(leaves, a), leaves)
        stepped = [
            p - 0.05 * (0.9 * b + g + 3e-4 * p) for p, b, g in zip(w, buffers, grads, strict=True)
        ]
        with torch.no_grad():
            return loss(val)(stepped, a)

    gradient = ref.unrolled_arch_gradient(
        loss(train),
        loss(val),
        w,
        alpha,
        0.05,
        momentum_buffers=buffers,
        momentum=0.9,
        weight_decay=3e-4,
    )
    direction = randn(6, 5, seed=30)
    h = 1e-5
    slope = (outer(alpha + h * direction) - outer(alpha - h * direction)) / (2 * h)
    torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-5, atol=1e-8)
