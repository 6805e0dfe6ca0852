"""The fences of the house: who may import whom, read from the files; and no dead setting."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from drnas_ray import config
from drnas_ray.blackbox import BLACKBOX
from drnas_ray.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("drnas_ray", "trainables", "analysis")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# The floors of the house, from the ground up. A room may use those on floors below its own; rooms
# on one floor don't know each other. A module belongs to the longest name here that it starts with.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("drnas_ray.core",),
    ("drnas_ray.spaces", "drnas_ray.cluster", "analysis.style"),
    ("drnas_ray.config",),
    ("drnas_ray.results", "drnas_ray.data", "drnas_ray.supernets", "drnas_ray.methods"),
    ("drnas_ray.benchmarks",),
    ("drnas_ray.importers", "drnas_ray.blackbox", "drnas_ray.networks"),
    ("drnas_ray.search", "drnas_ray.parsing"),
    ("drnas_ray.jobs", "drnas_ray.sweeps.spec"),
    ("drnas_ray.sweeps.plan", "trainables"),
    ("drnas_ray.sweeps.folder",),
    ("drnas_ray.sweeps.ray_tune",),
    ("drnas_ray.sweeps.tune", "drnas_ray.sweeps.train_cells"),
    ("drnas_ray.sweeps.sweep",),
    ("drnas_ray.sweeps.local",),
    ("analysis.records", "analysis.tuning"),
    ("analysis.cells", "analysis.derive"),
    ("analysis.stats",),
    ("analysis.progress", "analysis.tables"),
    ("analysis.figures", "analysis.paper"),
    ("analysis.report", "analysis.publish"),
    ("drnas_ray.api",),
    ("drnas_ray.cli",),
)  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def imports_in(source: ast.Module, module: str, is_package: bool = False) -> set[str]:
    """Full names of all modules imported anywhere in a file: in functions and type-checking too.

    `from a.b import c` counts as a.b.c where that is a module of ours, else as a.b. An import by
    text, as in importlib.import_module("a.b"), counts as well.
    """
    found = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, *([base] if base else [])])
            below = {f"{base}.{alias.name}" for alias in node.names}
            modules = {name for name in below if is_module(name)}
            found |= modules | ({base} if below - modules else set())
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                found |= {
                    str(arg.value) if isinstance(arg, ast.Constant) else "?"
                    for arg in node.args[:1]
                }
    return found


@cache
def imports(path: Path) -> frozenset[str]:
    return frozenset(imports_in(tree(path), module_of(path), path.name == "__init__.py"))


def reaches(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def offenders(inside: str | tuple[str, ...], *forbidden: str) -> list[str]:
    """`module -> import` for each forbidden import in modules under `inside`."""
    places = (inside,) if isinstance(inside, str) else inside
    return [
        f"{module_of(path)} -> {name}"
        for path in FILES
        if any(reaches(module_of(path), place) for place in places)
        for name in sorted(imports(path))
        if any(reaches(name, package) for package in forbidden)
    ]


# --- the reader of imports itself ---------------------------------------------------------------


def test_imports_are_found_wherever_they_stand():
    source = """
import a.b as x
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from drnas_ray.search import steps
def f():
    from drnas_ray import methods
    import ray
    importlib.import_module("torch.nn")
from . import rng
from .clock import Clock
from ..methods.base import Method
"""
    found = imports_in(ast.parse(source), "drnas_ray.search.loop")
    assert {
        "a.b", "typing", "drnas_ray.search.steps", "drnas_ray.methods", "ray", "torch.nn",
        "drnas_ray.search.rng", "drnas_ray.search.clock", "drnas_ray.methods.base",
    } <= found  # fmt: skip
    assert "drnas_ray.search.base" not in found


@pytest.mark.long
def test_there_is_something_to_look_at():
    modules = {module_of(path) for path in FILES}
    expected = {"drnas_ray.methods.drnas", "drnas_ray.supernets.nb201.network", "drnas_ray.cli"}
    assert expected | {"trainables", "analysis"} <= modules
    assert offenders("drnas_ray.search", "drnas_ray.supernets", "drnas_ray.methods")
    assert not [m for path in FILES for m in imports(path) if m == "?"]  # none hidden in a variable


# --- the four fences ----------------------------------------------------------------------------


def test_methods_and_supernets_do_not_know_each_other():
    networks = ("drnas_ray.supernets", "drnas_ray.networks")
    assert not offenders(("drnas_ray.methods", "drnas_ray.blackbox"), *networks)
    assert not offenders(networks, "drnas_ray.methods", "drnas_ray.blackbox")


def test_ray_is_only_where_runs_meet_ray():
    allowed = ("trainables", "drnas_ray.sweeps", "drnas_ray.cluster", "drnas_ray.cli")
    found = offenders(PACKAGES, "ray")
    assert not [line for line in found if not any(reaches(line.split()[0], a) for a in allowed)]
    assert found


def test_no_torch_on_the_ground_floor_and_in_analysis():
    assert not offenders(
        ("drnas_ray.spaces", "drnas_ray.config", "drnas_ray.core.errors", "analysis"),
        "torch",
        "torchvision",
    )
    assert not offenders("analysis", "ray")


UNWANTED = ("torch", "torchvision", "ray", "matplotlib.pyplot")  # pyplot wants a display


@pytest.mark.process
@pytest.mark.parametrize(
    "package",
    [
        "analysis",
        "drnas_ray.spaces",
        "drnas_ray.config",
        "drnas_ray.results",
        "drnas_ray.data.facts",
        "drnas_ray.benchmarks",
    ],
)
def test_no_torch_even_through_others(package):
    """All modules of it, imported in a process of their own."""
    modules = [module_of(path) for path in FILES if reaches(module_of(path), package)]
    code = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\n"
        f"print([m for m in {UNWANTED!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_only_the_top_floors_import_trainables_and_analysis():
    found = offenders("drnas_ray", "trainables", "analysis")
    top = ("drnas_ray.cli", "drnas_ray.api")
    assert not [line for line in found if not any(reaches(line.split()[0], t) for t in top)]
    assert not offenders("trainables", "analysis")
    assert not offenders("analysis", "trainables")


# --- the arrows ---------------------------------------------------------------------------------


def room(name: str) -> str | None:
    """The room a module belongs to; None for the packages' own faces."""
    found = [one for floor in FLOORS for one in floor if reaches(name, one)]
    return max(found, key=len, default=None)


FLOOR_OF = {one: number for number, floor in enumerate(FLOORS) for one in floor}
FACES = {"drnas_ray", "drnas_ray.sweeps", "analysis", "trainables"}


def test_every_module_has_a_room():
    assert not [m for path in FILES if room(m := module_of(path)) is None and m not in FACES]


def test_arrows_point_down():
    upward = []
    for path in FILES:
        here = room(module_of(path))
        for name in sorted(imports(path)):
            there = room(name)
            if here is None or there is None or here == there:
                continue
            if FLOOR_OF[there] >= FLOOR_OF[here]:
                upward.append(f"{module_of(path)} -> {name}")
    assert not upward


def test_no_circle_between_modules():
    known = {module_of(path) for path in FILES}
    arrows = {module_of(path): sorted(imports(path) & known) for path in FILES}
    done: set[str] = set()

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, " -> ".join([*trail[trail.index(node) :], node])
        if node not in done:
            for below in arrows[node]:
                if below != node:
                    visit(below, (*trail, node))
            done.add(node)

    for node in arrows:
        visit(node, ())


def test_what_stands_apart_is_used_by_the_command_line_only():
    """Taking these rooms away breaks nothing but their own commands."""
    for apart in ("drnas_ray.importers", "drnas_ray.cluster"):
        found = offenders(PACKAGES, apart)
        inside = (apart, "drnas_ray.cli", "drnas_ray.api")
        assert not [line for line in found if not any(reaches(line.split()[0], i) for i in inside)]


def test_a_method_inherits_once():
    for table in (METHODS, BLACKBOX):
        for method in table.values():
            assert len(method.__mro__) <= 4, method  # itself, the base, ABC, object


# --- settings -----------------------------------------------------------------------------------


def models() -> list[type[BaseModel]]:
    shared = [
        value
        for value in vars(config).values()
        if isinstance(value, type) and issubclass(value, config.Settings)
    ]
    own = [method.settings_type for table in (METHODS, BLACKBOX) for method in table.values()]
    return [*shared, *own]


FIELDS = sorted({(m.__name__, name) for m in models() for name in m.model_fields})


def test_no_setting_is_dead():
    """Every field is read as an attribute outside the settings themselves."""
    read = {
        node.attr
        for path in FILES
        if not reaches(module_of(path), "drnas_ray.config")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert len(FIELDS) > 40
    assert not [f"{model}.{name}" for model, name in FIELDS if name not in read]


def test_settings_are_frozen_and_refuse_unknown_names():
    for model in models():
        assert model.model_config["frozen"], model
        assert model.model_config["extra"] == "forbid", model
