"""A slow and obvious reference of the NAS-Bench-201 supernet and its bilevel search.

Used only by tests, to check the product against something written independently of it: from the
notes (ALGORITHMS.md, sections 1.1-1.5, 1.8, 2 and 4), the slides' formulas and nothing else. No
modules, no optimiser objects: plain dicts of tensors, formulas, and autograd for derivatives.
Every function keeps the dtype of what it is given (tests use float64).

Names of the parameters (``r`` is 0 or 1; ``i`` counts cells 0..3N-1 over all three stages; ``e``
counts edges 0..5 in the order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2)::

    stem.conv                                      (C, in_channels, 3, 3)
    stem.bn.weight, stem.bn.bias                   (C,)
    cell{i}.edge{e}.conv1x1                        (c/K, c/K, 1, 1), c = C, 2C or 4C by stage
    cell{i}.edge{e}.conv3x3                        (c/K, c/K, 3, 3)
    reduce{r}.conv_a                               (2c, c, 3, 3), stride 2
    reduce{r}.bn_a.weight, reduce{r}.bn_a.bias     (2c,)
    reduce{r}.conv_b                               (2c, 2c, 3, 3)
    reduce{r}.bn_b.weight, reduce{r}.bn_b.bias     (2c,)
    reduce{r}.shortcut                             (2c, c, 1, 1)
    last.bn.weight, last.bn.bias                   (4C,)
    classifier.weight, classifier.bias             (classes, 4C), (classes,)

Names of the running statistics: each of ``stem.bn``, ``cell{i}.edge{e}.conv1x1``,
``cell{i}.edge{e}.conv3x3``, ``reduce{r}.bn_a``, ``reduce{r}.bn_b`` and ``last.bn``, followed by
``.mean`` and ``.var``.

Columns of alpha and theta (6 x 5): none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torch.nn.functional import conv2d

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (node, its input)
BN_MOMENTUM = 0.1
BN_EPS = 1e-5

Tensors = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]
ThetaFn = Callable[[Tensor], Tensor]


# ----------------------------------------------------------------------------------------------
# Parameters
# ----------------------------------------------------------------------------------------------


def parameter_shapes(
    C: int, N: int, classes: int, in_channels: int, partial_k: int = 1
) -> dict[str, tuple[int, ...]]:
    """Every weight's name and shape, in the order in which the network uses them."""
    shapes: dict[str, tuple[int, ...]] = {"stem.conv": (C, in_channels, 3, 3)}
    shapes["stem.bn.weight"] = shapes["stem.bn.bias"] = (C,)
    for stage in range(3):
        c = C * 2**stage
        if stage > 0:
            name, before = f"reduce{stage - 1}", c // 2
            shapes[f"{name}.conv_a"] = (c, before, 3, 3)
            shapes[f"{name}.bn_a.weight"] = shapes[f"{name}.bn_a.bias"] = (c,)
            shapes[f"{name}.conv_b"] = (c, c, 3, 3)
            shapes[f"{name}.bn_b.weight"] = shapes[f"{name}.bn_b.bias"] = (c,)
            shapes[f"{name}.shortcut"] = (c, before, 1, 1)
        if c % partial_k:
            raise ValueError(f"{c} channels cannot be cut in {partial_k}")
        m = c // partial_k
        for cell in range(stage * N, (stage + 1) * N):
            for e in range(len(EDGES)):
                shapes[f"cell{cell}.edge{e}.conv1x1"] = (m, m, 1, 1)
                shapes[f"cell{cell}.edge{e}.conv3x3"] = (m, m, 3, 3)
    shapes["last.bn.weight"] = shapes["last.bn.bias"] = (4 * C,)
    shapes["classifier.weight"] = (classes, 4 * C)
    shapes["classifier.bias"] = (classes,)
    return shapes


def init_params(
    C: int,
    N: int,
    classes: int,
    in_channels: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    partial_k: int = 1,
) -> Tensors:
    """Random weights.

    The notes are silent on the initial values, and tests copy them into the product. So nothing
    here follows a default: affine BN weights and all biases are drawn too (around 1 and 0), so
    that a test notices when one of them is mixed up with another.
    """
    params = {}
    for name, shape in parameter_shapes(C, N, classes, in_channels, partial_k).items():
        noise = torch.randn(shape, generator=generator, dtype=dtype)
        if len(shape) >= 2:  # convolutions and the classifier: He's scale
            params[name] = noise * math.sqrt(2 / math.prod(shape[1:]))
        elif name.endswith(".weight"):
            params[name] = 1 + 0.1 * noise
        else:
            params[name] = 0.1 * noise
    return params


def init_stats(C: int, N: int, dtype: torch.dtype, partial_k: int = 1) -> Tensors:
    """Running means of 0 and running variances of 1, for every batch-norm of the network."""
    stats = {}
    for name, shape in parameter_shapes(C, N, 1, 1, partial_k).items():
        if name.startswith("cell"):
            norm = name
        elif name.endswith(".weight") and ".bn" in name:
            norm = name.removesuffix(".weight")
        else:
            continue
        stats[f"{norm}.mean"] = torch.zeros(shape[0], dtype=dtype)
        stats[f"{norm}.var"] = torch.ones(shape[0], dtype=dtype)
    return stats


def count(params: Mapping[str, Tensor]) -> int:
    """How many numbers the weights hold (alpha is not among them)."""
    return sum(p.numel() for p in params.values())


# ----------------------------------------------------------------------------------------------
# Layers
# ----------------------------------------------------------------------------------------------


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def softmax(a: Tensor) -> Tensor:
    e = torch.exp(a - a.detach().max(dim=-1, keepdim=True).values)
    return e / e.sum(dim=-1, keepdim=True)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    train: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch-norm over (B, H, W); returns the output and the new running mean and variance.

    In training, the batch's biased variance normalises and its unbiased variance goes into the
    running one. In evaluation the running pair normalises and stays as it is.
    """

    def per_channel(v: Tensor) -> Tensor:
        return v.reshape(1, -1, 1, 1)

    if train:
        n = x.numel() // x.shape[1]
        m = x.sum(dim=(0, 2, 3)) / n
        squares = ((x - per_channel(m)) ** 2).sum(dim=(0, 2, 3))
        v = squares / n
        new_mean = (1 - BN_MOMENTUM) * mean + BN_MOMENTUM * m.detach()
        new_var = (1 - BN_MOMENTUM) * var + BN_MOMENTUM * squares.detach() / (n - 1)
    else:
        m, v, new_mean, new_var = mean, var, mean, var
    y = (x - per_channel(m)) / torch.sqrt(per_channel(v) + BN_EPS)
    if weight is not None:
        y = y * per_channel(weight)
    if bias is not None:
        y = y + per_channel(bias)
    return y, new_mean, new_var


def avg_pool_3x3(x: Tensor) -> Tensor:
    """3x3 mean, stride 1, padding 1; padded places are not counted in the divisor."""

    def window_sums(z: Tensor) -> Tensor:
        b, c, h, w = z.shape
        padded = torch.zeros(b, c, h + 2, w + 2, dtype=z.dtype)
        padded[:, :, 1 : h + 1, 1 : w + 1] = z
        return sum(  # type: ignore[return-value]
            padded[:, :, dy : dy + h, dx : dx + w] for dy in range(3) for dx in range(3)
        )

    return window_sums(x) / window_sums(torch.ones_like(x))


def avg_pool_2x2(x: Tensor) -> Tensor:
    """2x2 mean, stride 2; an odd last row or column is dropped."""
    h, w = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return sum(x[:, :, dy:h:2, dx:w:2] for dy in range(2) for dx in range(2)) / 4


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of log sum_c exp(z_c) - z_label."""
    top = logits.detach().max(dim=1, keepdim=True).values
    log_norm = torch.log(torch.exp(logits - top).sum(dim=1)) + top[:, 0]
    chosen = logits[torch.arange(len(labels)), labels]
    return (log_norm - chosen).sum() / len(labels)


# ----------------------------------------------------------------------------------------------
# Supernet
# ----------------------------------------------------------------------------------------------


def forward(
    params: Mapping[str, Tensor],
    stats: Mapping[str, Tensor],
    x: Tensor,
    theta: Tensor,
    *,
    partial_k: int = 1,
    train: bool = True,
    active: Tensor | None = None,
    edge_scale: Tensor | None = None,
) -> tuple[Tensor, Tensors]:
    """Logits of the supernet whose cells all use the op weights ``theta`` (6 x 5).

    ``active`` (6 x 5, boolean) names the ops that are left. The others are not computed, add
    nothing, and their running statistics stay. ``theta`` is used as given: whoever prunes must
    renormalise it (see ``masked_theta``). Without ``active`` every op is computed, also one whose
    weight is 0 (so its running statistics move).

    ``edge_scale`` (6) multiplies an edge's whole output, bypassed channels included.

    ``stats`` is not changed; the second value returned is the new dict.
    """
    new = dict(stats)

    def norm(z: Tensor, name: str, affine: bool = True) -> Tensor:
        # From `new`, not `stats`: equal, since each norm is used once in a forward pass.
        y, new[f"{name}.mean"], new[f"{name}.var"] = batch_norm(
            z,
            new[f"{name}.mean"],
            new[f"{name}.var"],
            params[f"{name}.weight"] if affine else None,
            params[f"{name}.bias"] if affine else None,
            train=train,
        )
        return y

    def operation(z: Tensor, op: str, edge_name: str) -> Tensor:
        if op == "none":
            return z * 0
        if op == "skip_connect":
            return z
        if op == "nor_conv_1x1":
            name = f"{edge_name}.conv1x1"
            return norm(conv2d(relu(z), params[name]), name, affine=False)
        if op == "nor_conv_3x3":
            name = f"{edge_name}.conv3x3"
            return norm(conv2d(relu(z), params[name], padding=1), name, affine=False)
        return avg_pool_3x3(z)

    def edge(z: Tensor, e: int, edge_name: str) -> Tensor:
        mixed_channels = z.shape[1] // partial_k
        through, bypass = z[:, :mixed_channels], z[:, mixed_channels:]
        out = torch.zeros_like(through)
        for o, op in enumerate(OPS):
            if active is None or bool(active[e, o]):
                out = out + theta[e, o] * operation(through, op, edge_name)
        if partial_k > 1:
            out = channel_shuffle(torch.cat([out, bypass], dim=1), partial_k)
        return out if edge_scale is None else edge_scale[e] * out

    def cell(z: Tensor, i: int) -> Tensor:
        nodes = [z, None, None, None]
        for e, (node, source) in enumerate(EDGES):
            value = edge(nodes[source], e, f"cell{i}.edge{e}")
            nodes[node] = value if nodes[node] is None else nodes[node] + value
        return nodes[3]

    def reduction(z: Tensor, r: int) -> Tensor:
        a = conv2d(relu(z), params[f"reduce{r}.conv_a"], stride=2, padding=1)
        a = norm(a, f"reduce{r}.bn_a")
        b = conv2d(relu(a), params[f"reduce{r}.conv_b"], padding=1)
        b = norm(b, f"reduce{r}.bn_b")
        # The shortcut reads the block's input itself, before any ReLU.
        return b + conv2d(avg_pool_2x2(z), params[f"reduce{r}.shortcut"])

    cells = len({name.split(".")[0] for name in params if name.startswith("cell")})
    x = norm(conv2d(x, params["stem.conv"], padding=1), "stem.bn")
    for stage in range(3):
        if stage > 0:
            x = reduction(x, stage - 1)
        for i in range(stage * cells // 3, (stage + 1) * cells // 3):
            x = cell(x, i)
    x = relu(norm(x, "last.bn"))
    features = x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])
    logits = features @ params["classifier.weight"].T + params["classifier.bias"]
    return logits, new


# ----------------------------------------------------------------------------------------------
# The Dirichlet distribution
# ----------------------------------------------------------------------------------------------


def concentration(alpha: Tensor) -> Tensor:
    """beta = elu(alpha) + 1: alpha + 1 above zero, exp(alpha) below."""
    negative = torch.where(alpha > 0, torch.zeros_like(alpha), alpha)
    return torch.where(alpha > 0, alpha + 1, torch.exp(negative))


def masked_theta(theta: Tensor, active: Tensor) -> Tensor:
    """Zero the pruned coordinates of each row and renormalise the row."""
    kept = torch.where(active, theta, torch.zeros_like(theta))
    return kept / kept.sum(dim=-1, keepdim=True)


def kl_to_uniform_dirichlet(beta: Tensor) -> Tensor:
    """Sum over edges (rows) of KL(Dir(beta_edge) || Dir(1, ..., 1))."""
    total = beta.sum(dim=-1)
    ops = beta.shape[-1]
    log_norm = torch.lgamma(total) - torch.lgamma(beta).sum(dim=-1) - math.lgamma(ops)
    slack = (beta - 1) * (torch.digamma(beta) - torch.digamma(total).unsqueeze(-1))
    return (log_norm + slack.sum(dim=-1)).sum()


def l2_beta(beta: Tensor) -> Tensor:
    """||beta - 1||_2 over all numbers of beta at once (the notes do not say "per edge" here).

    Exactly at beta = 1 the norm has no derivative; zero is used there.
    """
    squares = ((beta - 1) ** 2).sum()
    return squares * 0 if float(squares.detach()) == 0 else torch.sqrt(squares)


def beta_cdf_derivative(x: float, a: float, b: float) -> float:
    """dF(x | a, b)/da for the Beta distribution's CDF F, by a five-point central difference.

    The CDF varies with ``a`` on the scale of min(a, 1): with a thousandth of that as the step, the
    truncation error is of the order of 1e-11 relative, and the CDF's rounding errors, magnified a
    thousandfold, about 1e-12. Above the median the upper tail is differentiated instead, since
    there it is the number that has its relative precision.
    """
    h = min(a, 1.0) / 1000
    upper = scipy.stats.beta.cdf(x, a, b) > 0.5
    tail = scipy.stats.beta.sf if upper else scipy.stats.beta.cdf

    def f(steps: int) -> float:
        return float(tail(x, a + steps * h, b))

    slope = (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / (12 * h)
    return -slope if upper else slope


def dirichlet_pathwise_jacobian(theta: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The matrix J[i, j] = d theta_i / d beta_j of the slides, for one edge (numpy, float64).

    - (dF_Beta(theta_j | beta_j, beta_tot - beta_j) / d beta_j) / f_Beta(theta_j | same)
        * (delta_ij - theta_i) / (1 - theta_j)

    Moving beta_j alone leaves beta_tot - beta_j, the sum of the others, where it is: the
    derivative of F is with respect to its first parameter at a fixed second one.
    """
    theta = np.asarray(theta, dtype=np.float64)
    beta = np.asarray(beta, dtype=np.float64)
    n = len(beta)
    jacobian = np.empty((n, n))
    for j in range(n):
        others = float(beta.sum() - beta[j])
        slope = beta_cdf_derivative(float(theta[j]), float(beta[j]), others)
        density = float(scipy.stats.beta.pdf(theta[j], beta[j], others))
        for i in range(n):
            jacobian[i, j] = -slope / density * ((i == j) - theta[i]) / (1 - theta[j])
    return jacobian


class FixedDraw(torch.autograd.Function):
    """The values of one draw ``theta``, with the slides' derivative with respect to beta."""

    @staticmethod
    def forward(ctx, beta: Tensor, theta: Tensor) -> Tensor:  # type: ignore[no-untyped-def,override]
        ctx.save_for_backward(beta, theta)
        return theta.clone()

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def,override]
        beta, theta = ctx.saved_tensors
        rows = [
            g.detach().double().numpy()
            @ dirichlet_pathwise_jacobian(t.double().numpy(), b.detach().double().numpy())
            for g, t, b in zip(grad, theta, beta, strict=True)
        ]
        return torch.as_tensor(np.stack(rows)).to(grad.dtype), None


def fixed_draw(theta: Tensor) -> ThetaFn:
    """alpha -> theta for ``search_steps``: a given draw, differentiable by the pathwise formula.

    The value returned is ``theta`` whatever alpha is (it is "the draw that was made at this
    alpha"); only the derivative depends on alpha. First derivatives only.
    """
    return lambda alpha: FixedDraw.apply(concentration(alpha), theta)


# ----------------------------------------------------------------------------------------------
# Optimisers
# ----------------------------------------------------------------------------------------------


@dataclass
class AdamState:
    """Moments and step count of Adam."""

    step: int
    first: Tensor
    second: Tensor


def adam_step(
    value: Tensor,
    grad: Tensor,
    state: AdamState | None,
    *,
    lr: float,
    betas: tuple[float, float] = (0.5, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Tensor, AdamState]:
    """One step of Adam with coupled weight decay (added to the gradient, before the moments)."""
    if state is None:
        state = AdamState(0, torch.zeros_like(value), torch.zeros_like(value))
    g = grad + weight_decay * value
    t = state.step + 1
    m = betas[0] * state.first + (1 - betas[0]) * g
    v = betas[1] * state.second + (1 - betas[1]) * g * g
    m_hat = m / (1 - betas[0] ** t)
    v_hat = v / (1 - betas[1] ** t)
    return value - lr * m_hat / (torch.sqrt(v_hat) + eps), AdamState(t, m, v)


def sgd_step(
    value: Tensor,
    grad: Tensor,
    buffer: Tensor | None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> tuple[Tensor, Tensor]:
    """One step of SGD: buffer <- momentum * buffer + grad + wd * value, value <- value - lr * it.

    No dampening, no Nesterov; a missing buffer counts as zero.
    """
    g = grad + weight_decay * value
    new = g if buffer is None else momentum * buffer + g
    return value - lr * new, new


def global_norm(grads: Sequence[Tensor]) -> Tensor:
    return torch.sqrt(sum((g * g).sum() for g in grads))


# ----------------------------------------------------------------------------------------------
# Search
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchSettings:
    """What ``search_steps`` needs beside data; the defaults are DrNAS's on NB201 (1.2-1.4).

    ``lr`` is a number or one number per step. ``penalty`` maps alpha to a number that is added to
    the architecture step's loss (already multiplied by its scale). ``include_alpha_in_clip`` is
    the official NB201 code's quirk: in the weight step the norm is taken over the weights' and
    alpha's gradients together (alpha's, of the training loss, is thrown away afterwards).
    ``arch_start``: the number of first steps that are without an architecture step.
    ``unused_as_zero``: a weight that the loss does not touch (all its ops inactive) is left alone,
    momentum included, when False (today's torch: its gradient is None), and gets a zero gradient,
    so decays and coasts, when True (older torch's zero_grad). The notes are silent on it.
    """

    lr: float | Sequence[float] = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float | None = 5.0
    arch_lr: float = 3e-4
    arch_betas: tuple[float, float] = (0.5, 0.999)
    arch_eps: float = 1e-8
    arch_weight_decay: float = 1e-3
    arch_start: int = 0
    penalty: Callable[[Tensor], Tensor] | None = None
    include_alpha_in_clip: bool = False
    unused_as_zero: bool = False
    partial_k: int = 1
    active: Tensor | None = None
    edge_scale: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """What stands after one search step, and what happened in it.

    ``arch_loss`` (penalty included) and ``weight_loss`` were taken before the update that they
    drove; ``arch_gradient`` is without weight decay; ``weight_norm`` is the norm before clipping.
    In a step without an architecture update ``arch_loss`` and ``arch_gradient`` are None.
    """

    alpha: Tensor
    params: Tensors
    stats: Tensors
    arch_loss: float | None
    weight_loss: float
    arch_gradient: Tensor | None = None
    weight_norm: float = 0.0
    buffers: Tensors = field(default_factory=dict)


def search_steps(
    params: Mapping[str, Tensor],
    stats: Mapping[str, Tensor],
    alpha: Tensor,
    weight_batches: Sequence[Batch],
    arch_batches: Sequence[Batch],
    thetas_or_mode: str | Sequence[tuple[ThetaFn | None, ThetaFn]],
    settings: SearchSettings | None = None,
) -> list[Step]:
    """First-order bilevel search, one step for each weight batch; one ``Step`` for each.

    ``thetas_or_mode`` is "darts" (theta = softmax(alpha) in every forward pass; with
    ``settings.active``, pruned ops zeroed and each edge renormalised), or, for DrNAS with given
    draws, one pair a step: the functions alpha -> theta of the architecture step's and of the
    weight step's forward pass (each differentiable and, where ops are pruned, renormalised by the
    caller; ``fixed_draw`` makes one). ``arch_batches[t]`` belongs to step t, also with
    ``arch_start``.

    A step: (1) loss of the architecture batch, in train mode, and Adam on alpha; (2) at the new
    alpha, loss of the weight batch, in train mode, clip, and SGD on the weights. Both forward
    passes move the running statistics. Fresh optimisers at the first step. Inputs are not changed.
    """
    s = SearchSettings() if settings is None else settings
    params = {name: p.detach().clone() for name, p in params.items()}
    stats = {name: v.detach().clone() for name, v in stats.items()}
    alpha = alpha.detach().clone()
    options = {
        "partial_k": s.partial_k,
        "train": True,
        "active": s.active,
        "edge_scale": s.edge_scale,
    }

    def darts_theta(a: Tensor) -> Tensor:
        return softmax(a) if s.active is None else masked_theta(softmax(a), s.active)

    adam: AdamState | None = None
    buffers: Tensors = {}
    history: list[Step] = []

    for t, weight_batch in enumerate(weight_batches):
        if isinstance(thetas_or_mode, str):
            if thetas_or_mode != "darts":
                raise ValueError(f"unknown mode {thetas_or_mode!r}: give 'darts' or draws")
            arch_theta: ThetaFn | None = darts_theta
            weight_theta: ThetaFn = darts_theta
        else:
            arch_theta, weight_theta = thetas_or_mode[t]

        # (1) The architecture, on the architecture batch. Weights are constants here.
        arch_loss, arch_gradient = None, None
        if t >= s.arch_start:
            if arch_theta is None:
                raise ValueError("this step needs a theta for its architecture step")
            images, labels = arch_batches[t]
            a = alpha.clone().requires_grad_()
            logits, stats = forward(params, stats, images, arch_theta(a), **options)
            loss = cross_entropy(logits, labels)
            if s.penalty is not None:
                loss = loss + s.penalty(a)
            (arch_gradient,) = torch.autograd.grad(loss, [a])
            arch_loss = float(loss.detach())
            alpha, adam = adam_step(
                alpha,
                arch_gradient,
                adam,
                lr=s.arch_lr,
                betas=s.arch_betas,
                eps=s.arch_eps,
                weight_decay=s.arch_weight_decay,
            )

        # (2) The weights, on the weight batch, with another draw, at the new alpha.
        images, labels = weight_batch
        a = alpha.clone().requires_grad_()
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        logits, stats = forward(leaves, stats, images, weight_theta(a), **options)
        loss = cross_entropy(logits, labels)
        found = torch.autograd.grad(loss, [*leaves.values(), a], allow_unused=True)
        grads = dict(zip(leaves, found[:-1], strict=True))
        if s.unused_as_zero:
            grads = {n: torch.zeros_like(params[n]) if g is None else g for n, g in grads.items()}
        in_norm = [g for g in grads.values() if g is not None]
        if s.include_alpha_in_clip and found[-1] is not None:
            in_norm.append(found[-1])
        norm = float(global_norm(in_norm))
        scale = 1.0 if s.clip is None else min(1.0, s.clip / (norm + 1e-6))
        lr = s.lr if isinstance(s.lr, int | float) else s.lr[t]
        for name, g in grads.items():
            if g is not None:
                params[name], buffers[name] = sgd_step(
                    params[name],
                    scale * g,
                    buffers.get(name),
                    lr=lr,
                    momentum=s.momentum,
                    weight_decay=s.weight_decay,
                )

        # Updates above make new tensors and never write into old ones, so copying dicts is enough.
        history.append(
            Step(
                alpha,
                dict(params),
                dict(stats),
                arch_loss,
                float(loss.detach()),
                arch_gradient,
                norm,
                dict(buffers),
            )
        )
    return history


def unrolled_arch_gradient(
    loss_train: Callable[[list[Tensor], Tensor], Tensor],
    loss_val: Callable[[list[Tensor], Tensor], Tensor],
    w: Sequence[Tensor],
    alpha: Tensor,
    lr: float,
    *,
    momentum_buffers: Sequence[Tensor | None] | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Tensor:
    """Exact second-order DARTS: d/dalpha of loss_val(w', alpha).

    w' = w - lr * (momentum * buffer + d loss_train(w, alpha)/dw + weight_decay * w), a function of
    alpha through the training gradient. No finite differences, and no clipping in the virtual step.
    """
    a = alpha.detach().clone().requires_grad_()
    leaves = [p.detach().clone().requires_grad_() for p in w]
    grads = torch.autograd.grad(loss_train(leaves, a), leaves, create_graph=True, allow_unused=True)
    stepped = []
    for k, (p, g) in enumerate(zip(leaves, grads, strict=True)):
        buffer = None if momentum_buffers is None else momentum_buffers[k]
        direction = weight_decay * p
        if g is not None:
            direction = direction + g
        if buffer is not None:
            direction = direction + momentum * buffer.detach()
        stepped.append(p - lr * direction)
    (gradient,) = torch.autograd.grad(loss_val(stepped, a), [a])
    return gradient
