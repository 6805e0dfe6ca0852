"""The space of a tuning: one dimension for each tuned setting, such as `{uniform: [0, 0.5]}`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drnas_ray.core.errors import UserError, unknown_name

BOUNDS = {
    "uniform": 2,
    "loguniform": 2,
    "quniform": 3,
    "qloguniform": 3,
    "randint": 2,
}
"""How many numbers each kind takes: low, high and, for quantised ones, a step."""
KINDS = (*BOUNDS, "choice")


@dataclass(frozen=True)
class Dimension:
    """One tuned setting. `choice` has options; the others have bounds, quantised ones also a step.

    uniform, quniform: uniform between low and high. loguniform, qloguniform: log-uniform.
    quniform, qloguniform: multiples of step. randint: whole numbers from low to high - 1.
    whole: its values are whole numbers.
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    options: tuple[Any, ...] = ()
    whole: bool = False

    @property
    def log(self) -> bool:
        """Whether values are uniform on a logarithmic scale."""
        return self.kind in ("loguniform", "qloguniform")

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Both ends, or every option: what is checked before anything runs."""
        if self.kind == "choice":
            return self.options
        return self.value(self.low), self.value(self.top)

    @property
    def top(self) -> float:
        """The largest value."""
        return self.high - 1 if self.kind == "randint" else self.high

    def value(self, raw: float) -> Any:
        """The setting's value for HyperOpt's number, which for a choice is an option's index."""
        if self.kind == "choice":
            return self.options[int(raw)]
        inside = min(max(float(raw), self.low), self.top)
        if self.whole:
            return round(inside)
        # A multiple of 0.1 such as 0.30000000000000004 would make a run id of its own.
        return float(f"{inside:.12g}") if self.step is not None else inside

    def raw(self, value: Any) -> float:
        """HyperOpt's number for a value. Raises UserError for one outside the dimension."""
        if self.kind == "choice":
            texts = [json.dumps(option, sort_keys=True) for option in self.options]
            text = json.dumps(value, sort_keys=True)
            if text not in texts:
                raise UserError(
                    f"{self.key}={value!r} is not one of its options {list(self.options)}"
                )
            return texts.index(text)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{self.key}={value!r} is not a number: its dimension is {self}")
        if not self.low <= value <= self.top or self.value(value) != value:
            raise UserError(f"{self.key}={value!r} is not a value of its dimension {self}")
        return float(value)

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"choice {json.dumps(list(self.options))}"
        step = "" if self.step is None else f", {self.step:g}"
        return f"{self.kind} [{self.low:g}, {self.high:g}{step}]"


def dimensions(space: Mapping[str, Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """The dimensions of a sweep file's space. Raises UserError for the first invalid one."""
    if not space:
        raise UserError("empty: name at least one setting, such as arch.lr")
    return tuple(_dimension(key, given) for key, given in space.items())


def _dimension(key: str, given: Any) -> Dimension:
    if not isinstance(given, Mapping) or len(given) != 1:
        raise UserError(f"{key}: {given!r} should be one kind, such as {{uniform: [low, high]}}")
    ((kind, numbers),) = given.items()
    if kind not in KINDS:
        raise unknown_name(f"kind of dimension for {key}:", kind, KINDS)
    if not isinstance(numbers, list | tuple):
        raise UserError(f"{key}: {kind}: {numbers!r} should be a list")
    if kind == "choice":
        return _choice(key, list(numbers))
    return _bounded(key, kind, list(numbers))


def _choice(key: str, options: list[Any]) -> Dimension:
    if len(options) < 2:
        raise UserError(f"{key}: choice {options} leaves nothing to choose: list at least two")
    texts = [json.dumps(option, sort_keys=True) for option in options]
    if len(set(texts)) < len(texts):
        raise UserError(f"{key}: choice {options} lists an option twice: list each once")
    return Dimension(key, "choice", options=tuple(options))


def _bounded(key: str, kind: str, numbers: list[Any]) -> Dimension:
    names = ("low", "high", "step")[: BOUNDS[kind]]
    if len(numbers) != len(names):
        raise UserError(f"{key}: {kind} {numbers} should be [{', '.join(names)}]")
    for number in numbers:
        real = isinstance(number, int | float) and not isinstance(number, bool)
        if not real or not math.isfinite(number):
            raise UserError(f"{key}: {kind} {numbers}: {number!r} is not a finite number")
    low, high = numbers[:2]
    step = numbers[2] if kind.startswith("q") else None
    whole = kind == "randint" or (
        step is not None and all(isinstance(number, int) for number in numbers)
    )
    if kind == "randint" and not all(isinstance(number, int) for number in numbers):
        raise UserError(f"{key}: randint {numbers} needs whole numbers")
    top = high - 1 if kind == "randint" else high
    if low >= top:
        least = "low + 2 <= high" if kind == "randint" else "low < high"
        raise UserError(f"{key}: {kind} {numbers}: low={low} and high={high} need {least}")
    if "log" in kind and low <= 0:
        raise UserError(
            f"{key}: {kind} {numbers}: low={low} has no logarithm: give a number above 0"
        )
    if step is not None:
        _check_step(key, kind, numbers)
    return Dimension(key, kind, low, high, step, whole=whole)


def _check_step(key: str, kind: str, numbers: list[Any]) -> None:
    low, high, step = numbers
    fits = 0 < step <= high - low and all(
        math.isclose(x / step, round(x / step), abs_tol=1e-9) for x in (low, high)
    )
    if not fits:
        raise UserError(
            f"{key}: {kind} {numbers}: low and high should be multiples of step={step}, which "
            "should be above 0 and at most high - low"
        )
