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
GROUND = (
    "drnas_ray.errors", "drnas_ray.config", "drnas_ray.archsample", "drnas_ray.spaces",
    "drnas_ray.storage",
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

    `from a.b import c` counts as a.b.c where that is a module of ours, else as a.b. An import by a
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
            found |= {name for name in below if is_module(name)}
            found.add(base)
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
    from drnas_ray.search import run
def f():
    from drnas_ray import methods
    import ray
    importlib.import_module("torch.nn")
from . import rng
from .clock import Clock
from ..methods.base import Method
"""
    found = imports_in(ast.parse(source), "drnas_ray.search.bilevel")
    assert {
        "a.b", "typing", "drnas_ray.search.run", "drnas_ray.methods", "ray", "torch.nn",
        "drnas_ray.search.rng", "drnas_ray.search.clock", "drnas_ray.methods.base",
    } <= found  # fmt: skip
    assert "drnas_ray.search.base" not in found


def test_there_is_something_to_look_at():
    modules = {module_of(path) for path in FILES}
    expected = {"drnas_ray.methods.drnas", "drnas_ray.supernets.nb201", "drnas_ray.cli"}
    assert expected | {"trainables", "analysis"} <= modules
    assert offenders("drnas_ray.search", "drnas_ray.supernets", "drnas_ray.methods")
    assert not [m for path in FILES for m in imports(path) if m == "?"]  # none hidden in a variable


# --- the four fences ----------------------------------------------------------------------------


def test_methods_and_supernets_do_not_know_each_other():
    networks = ("drnas_ray.supernets", "drnas_ray.networks")
    assert not offenders(("drnas_ray.methods", "drnas_ray.blackbox"), *networks)
    assert not offenders(networks, "drnas_ray.methods", "drnas_ray.blackbox")


def test_ray_is_only_where_runs_meet_ray():
    allowed = ("trainables", "drnas_ray.sweeps", "drnas_ray.cli")
    found = offenders(PACKAGES, "ray")
    assert not [line for line in found if not any(reaches(line.split()[0], a) for a in allowed)]
    assert found


def test_no_torch_on_the_ground_floor_and_in_analysis():
    assert not offenders(
        ("drnas_ray.spaces", "drnas_ray.config", "drnas_ray.errors", "analysis"),
        "torch",
        "torchvision",
    )
    assert not offenders("analysis", "ray")


@pytest.mark.parametrize("package", ["analysis", "drnas_ray.spaces", "drnas_ray.config"])
def test_no_torch_even_through_others(package):
    """All modules of it, imported in a process of their own."""
    modules = [module_of(path) for path in FILES if reaches(module_of(path), package)]
    code = (
        f"import importlib, sys\nfor m in {modules!r}: importlib.import_module(m)\n"
        "print([m for m in ('torch', 'torchvision', 'ray') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_only_the_command_line_imports_trainables_and_analysis():
    found = offenders("drnas_ray", "trainables", "analysis")
    assert not [line for line in found if not reaches(line.split()[0], "drnas_ray.cli")]
    assert not offenders("trainables", "analysis")
    assert not offenders("analysis", "trainables")


# --- the arrows ---------------------------------------------------------------------------------


def test_the_ground_floor_imports_nothing_above():
    above = {
        f"{module_of(path)} -> {name}"
        for path in FILES
        if any(reaches(module_of(path), ground) for ground in GROUND)
        for name in imports(path)
        if any(reaches(name, package) for package in PACKAGES)
        and name != "drnas_ray"
        and not any(reaches(name, ground) for ground in GROUND)
    }
    assert not above


def test_arrows_point_down():
    """Each floor may use those before it; the names of one line don't know each other."""
    floors = [
        GROUND,
        ("drnas_ray.bench",),
        ("drnas_ray.supernets", "drnas_ray.methods", "drnas_ray.blackbox", "drnas_ray.data"),
        ("drnas_ray.networks",),
        ("drnas_ray.search", "drnas_ray.door", "drnas_ray.cluster"),
        ("trainables", "analysis", "drnas_ray.sweeps"),
        ("drnas_ray.cli",),
    ]
    for number, floor in enumerate(floors):
        higher = [name for names in floors[number + 1 :] for name in names]
        assert not offenders(floor, *higher)
        if number:
            for one in floor:
                assert not offenders(one, *(other for other in floor if other != one))


def unit(name: str) -> str:
    """The package, or the single file beside the packages, that a module belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "drnas_ray" else parts[0]


def test_no_cycles_between_packages():
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        here = unit(module_of(path))
        used = {unit(name) for name in imports(path) if name.split(".")[0] in PACKAGES}
        arrows.setdefault(here, set()).update(used - {here, "drnas_ray"})
    done: set[str] = set()

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, " -> ".join([*trail, node])
        if node not in done:
            for below in sorted(arrows.get(node, ())):
                visit(below, (*trail, node))
            done.add(node)

    for node in arrows:
        visit(node, ())


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
    """Every field is read as an attribute outside config.py."""
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
