"""ENAS (Pham et al., ICML 2018, arXiv:1802.03268): an LSTM proposes cells, REINFORCE trains it.

Within an epoch the shared weights train under paths that the controller draws; at its end the
controller trains by the validation accuracy that the shared weights give its cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.config import Decay, MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Method, RunView, Statistics, UpdateHook
from drnas_ray.methods.relax import best_scored, masked, one_path
from drnas_ray.spaces.space import Space

# Largest norm of the controller's gradient, the authors' constant.
CLIP = 5.0


class EnasSettings(MethodSettings):
    """steps, samples: controller steps per epoch, and cells whose gradients each step averages.
    entropy: its weight in the reward. baseline_decay: of the running mean of rewards.
    candidates: cells drawn at the end and scored on a fresh batch of `score_batch` images each.
    bn: which statistics batch normalisation uses in scoring.
    hidden, temperature, tanh: size of the LSTM; logits are tanh * tanh(raw / temperature)."""

    name: Literal["enas"] = "enas"
    steps: int = Field(50, ge=1)
    samples: int = Field(20, ge=1)
    entropy: float = Field(1e-4, ge=0)
    baseline_decay: Decay = 0.99
    candidates: int = Field(100, ge=1)
    score_batch: int = Field(128, ge=2)
    bn: Statistics = "batch"
    hidden: int = Field(32, ge=1)
    temperature: float = Field(5.0, gt=0)
    tanh: float = Field(2.5, gt=0)
    # NAS-Bench-201's own settings for ENAS (ENAS.config, ENAS.sh and ENAS.py of its authors).
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 250,
        "batch_size": 128,
        "weights": {
            "lr": 0.05,
            "lr_min": 0.0005,
            "cycle_epochs": 10,
            "nesterov": True,
            "weight_decay": 2.5e-4,
        },
        "arch": {"lr": 1e-3, "betas": (0.0, 0.999)},
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "ENAS"

    def arch_weight_decay(self) -> float:
        """No decay of the controller."""
        return 0.0


class Controller(nn.Module):
    """A two-layer LSTM, one step per edge, fed with the operation of the previous edge.

    baseline: the running mean of rewards, 0 until there is one (`told` says whether).
    """

    baseline: Tensor
    told: Tensor

    def __init__(self, space: Space, settings: EnasSettings) -> None:
        super().__init__()
        self.shape = space.shape
        self.temperature, self.tanh = settings.temperature, settings.tanh
        self.first = nn.Parameter(torch.empty(1, settings.hidden))
        self.embedding = nn.Embedding(space.shape[-1], settings.hidden)
        self.lstm = nn.LSTM(settings.hidden, settings.hidden, num_layers=2)
        self.head = nn.Linear(settings.hidden, space.shape[-1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("told", torch.zeros((), dtype=torch.bool))

    def forward(
        self, mask: Tensor | None, pick: str | Tensor = "draw"
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Operations (T, E), log-probabilities (T, E, O) along the path, and its entropy.

        pick: `draw`, `greedy` (the most probable at each step), or the operations (T, E) to follow.
        """
        types, edges, ops = self.shape
        flat = None if mask is None else mask.view(types * edges, ops)
        given = pick.flatten() if isinstance(pick, Tensor) else None
        fed, state = self.first, None
        chosen, logs = [], []
        for step in range(types * edges):
            out, state = self.lstm(fed[None], state)
            logits = self.tanh * torch.tanh(self.head(out[0, 0]) / self.temperature)
            log = masked(logits, None if flat is None else flat[step]).log_softmax(-1)
            if given is not None:
                op = given[step]
            elif pick == "greedy":
                op = log.argmax()
            else:
                op = torch.multinomial(log.detach().exp(), 1)[0]
            fed = self.embedding(op)[None]
            chosen.append(op)
            logs.append(log)
        log = torch.stack(logs)
        shape = (types, edges)
        return torch.stack(chosen).view(shape), log.view(*shape, ops), _entropy(log)


def _entropy(log: Tensor) -> Tensor:
    """Entropy of the choices along a path, summed; log: (steps, O), -inf where pruned."""
    terms: Tensor = torch.special.entr(log.exp())
    return terms.sum()


def log_probability(chosen: Tensor, log: Tensor) -> Tensor:
    """Log-probability of a path (T, E), from the log-probabilities (T, E, O) along it."""
    along: Tensor = log.gather(-1, chosen[..., None])
    return along.sum()


class Enas(Method):
    """The architecture module is the controller; it moves at the end of an epoch."""

    settings_type = EnasSettings
    mixes = False
    differentiable = False

    def __init__(self, settings: EnasSettings) -> None:
        self.settings = settings

    @property
    def arch_hook(self) -> UpdateHook:
        """At the end of an epoch."""
        return "end_epoch"

    def make_arch(self, space: Space) -> nn.Module:
        """The controller."""
        return Controller(space, self.settings)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """Adam with the large epsilon of the authors' configuration."""
        return torch.optim.Adam(
            arch.parameters(),
            lr=config.arch.lr,
            betas=config.arch.betas,
            eps=1e-3,
            weight_decay=config.arch_weight_decay(),
        )

    @torch.no_grad()
    def sample(self, run: RunView) -> ArchSample:
        """A path drawn from the controller."""
        return self._path(run, "draw")

    @torch.no_grad()
    def mean(self, run: RunView) -> ArchSample:
        """The greedy path."""
        return self._path(run, "greedy")

    def _path(self, run: RunView, pick: str) -> ArchSample:
        chosen, log, _ = _controller(run)(run.mask, pick)
        return one_path(chosen, log)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): probabilities at each step of the greedy path."""
        _, log, _ = _controller(run)(run.mask, "greedy")
        probabilities: Tensor = log.exp()
        return probabilities

    def end_epoch(self, run: RunView) -> None:
        """`steps` steps of the controller, past the warm-up."""
        if run.searching:
            for _ in range(self.settings.steps):
                self._controller_step(run)

    def _controller_step(self, run: RunView) -> None:
        """One step down the mean of -log p * (reward - baseline) over `samples` cells."""
        controller, losses = _controller(run), []
        for _ in range(self.settings.samples):
            chosen, log, entropy = controller(run.mask)
            _, accuracy = run.score(
                one_path(chosen, log.detach()), run.val_batch(), self.settings.bn
            )
            reward = accuracy + self.settings.entropy * entropy.detach()
            advantage = reward - self._baseline(controller, reward)
            losses.append(-log_probability(chosen, log) * advantage)
        gradients = torch.autograd.grad(
            torch.stack(losses).mean(),
            list(controller.parameters()),
            allow_unused=True,
            materialize_grads=True,
        )
        factor = (CLIP / nn.utils.get_total_norm(gradients)).clamp_max(1)
        run.step_arch(tuple(gradient * factor for gradient in gradients))

    @torch.no_grad()
    def _baseline(self, controller: Controller, reward: Tensor) -> Tensor:
        """The running mean including this reward; the first reward starts it."""
        decay = self.settings.baseline_decay
        moved = decay * controller.baseline + (1 - decay) * reward
        controller.baseline.copy_(torch.where(controller.told, moved, reward))
        controller.told.fill_(True)
        return controller.baseline.clone()

    @torch.no_grad()
    def derive(self, run: RunView) -> str:
        """The best of `candidates` cells drawn from the controller, by the shared weights."""
        settings = self.settings
        samples = (self.sample(run) for _ in range(settings.candidates))
        return best_scored(samples, run, settings.score_batch, settings.bn)


def _controller(run: RunView) -> Controller:
    assert isinstance(run.arch, Controller)
    return run.arch
