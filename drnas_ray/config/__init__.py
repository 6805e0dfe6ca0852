"""Every shared setting of a run, as frozen pydantic models; a run's id is the hash of their JSON.

A method's own settings are declared in the method's own file, as a subclass of `MethodSettings`;
`drnas_ray.parsing` turns names into them. A method with other published defaults than DrNAS's names
them in `MethodSettings.shared_defaults`.
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
from drnas_ray.config.cells import (
    BenchmarkSettings,
    BlackBoxConfig,
    CellRecipe,
    QueryConfig,
    Recipe,
    RetrainConfig,
    ShortRecipe,
)
from drnas_ray.config.diagnostics import LAST, DiagnosticSettings, EarlyStopSettings
from drnas_ray.config.search import (
    ArchSettings,
    PerturbSettings,
    SearchConfig,
    Stage,
    SupernetSettings,
    WeightSettings,
)

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
    "group_of",
    "merged",
    "nested",
]
