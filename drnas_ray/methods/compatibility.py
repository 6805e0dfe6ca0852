"""Which shared settings fit a weight-sharing method, by what its class says it can do."""

from __future__ import annotations

from drnas_ray.config import ArchSettings, SearchConfig
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Method
from drnas_ray.spaces import space_named


def check_compatible(method: Method, config: SearchConfig) -> None:
    """Raise UserError, naming both values, where a shared setting makes no sense for the method."""
    name = config.method.name
    if config.perturb.kind != "none" and not method.mixes:
        raise UserError(
            f"perturb.kind={config.perturb.kind} with method {name}: it runs only the drawn "
            "operations, so there are no shares to perturb"
        )
    if config.weights.clip_over_arch and not method.differentiable:
        raise UserError(
            f"weights.clip_over_arch=true with method {name}: its weight step has no gradient with "
            "respect to the architecture to include, leave it out"
        )
    _check_pruning(method, config)
    _check_diagnostics(method, config)
    method.check(config)


def _check_pruning(method: Method, config: SearchConfig) -> None:
    ops = len(space_named(config.space).ops)
    kept = min((stage.keep_ops or ops for stage in config.stages), default=ops)
    if kept < ops and not method.ranks:
        raise UserError(
            f"stages: keep_ops={kept} with method {config.method.name}: it doesn't rank operations "
            "before the end, so there is nothing to prune by"
        )


def _check_diagnostics(method: Method, config: SearchConfig) -> None:
    """Raise UserError where something can't be measured for this method."""
    name, asked = config.method.name, config.diagnostics
    for key in ("hessian", "landscape"):
        if getattr(asked, key) is not None and not method.mixes:
            raise UserError(
                f"diagnostics.{key}={getattr(asked, key)} with method {name}: it runs single "
                "paths, so its loss is not a smooth function of what it learns; leave "
                f"diagnostics.{key} out"
            )
    if asked.proposition1 is not None and method.distribution != "dirichlet":
        raise UserError(
            f"diagnostics.proposition1={asked.proposition1} with method {name}: the proposition is "
            "about a learnt Dirichlet, and this method learns none; leave diagnostics.proposition1 "
            "out"
        )


def check_no_adam(config: SearchConfig, why: str) -> None:
    """Raise UserError where settings that only Adam reads are given to a method without Adam.

    why: the reason, as the error says it after the method's name.
    """
    arch = config.arch
    if config.arch_weight_decay() or arch.betas != ArchSettings().betas:
        raise UserError(
            f"arch.weight_decay={arch.weight_decay}, arch.betas={list(arch.betas)} with method "
            f"{config.method.name}: {why}, leave both out"
        )
