"""The settings that runs share, as frozen pydantic models; a run's id is the hash of their JSON.

A method's own settings are a subclass of `MethodSettings` in the method's file, which also names
the shared settings whose published defaults differ from DrNAS's (`MethodSettings.shared_defaults`).
`drnas_ray.parsing` makes settings from plain mappings and checks what depends on the method.
"""

from drnas_ray.config.base import (
    DataSettings,
    Decay,
    MethodSettings,
    RunSettings,
    Settings,
    group_of,
    merged,
    nested,
)
from drnas_ray.config.diagnostics import LAST, DiagnosticSettings, EarlyStopSettings
from drnas_ray.config.groups import (
    ArchSettings,
    PerturbSettings,
    Stage,
    SupernetSettings,
    WeightSettings,
)
from drnas_ray.config.multitrial import BenchmarkSettings, BlackBoxConfig, QueryConfig
from drnas_ray.config.search import SearchConfig
from drnas_ray.config.training import CellRecipe, Recipe, RetrainConfig, ShortRecipe
from drnas_ray.config.validation import first_problem, validated

__all__ = [
    "LAST",
    "ArchSettings",
    "BenchmarkSettings",
    "BlackBoxConfig",
    "CellRecipe",
    "DataSettings",
    "Decay",
    "DiagnosticSettings",
    "EarlyStopSettings",
    "MethodSettings",
    "PerturbSettings",
    "QueryConfig",
    "Recipe",
    "RetrainConfig",
    "RunSettings",
    "SearchConfig",
    "Settings",
    "ShortRecipe",
    "Stage",
    "SupernetSettings",
    "WeightSettings",
    "first_problem",
    "group_of",
    "merged",
    "nested",
    "validated",
]
