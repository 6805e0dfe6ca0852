"""One search without Ray: none is loaded, even through other modules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; "  # importing it then fails


def python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module",
    ["drnas_ray.sweeps.local", "drnas_ray.sweeps.plan.check", "drnas_ray.sweeps.tune.plan"],
)
def test_no_ray_even_through_others(module: str, tmp_path: Path) -> None:
    python(f"import {module}, sys; assert 'ray' not in sys.modules", tmp_path)


def test_a_search_on_the_command_line_runs_without_ray(tmp_path: Path) -> None:
    args = "search darts --set epochs=1 --set data.train_images=64 --set supernet.channels=4"
    args += " --set supernet.cells=1 --set arch.warmup_epochs=0 --out out"
    code = f"from drnas_ray.cli import main; sys.argv = ['drnas', *{args.split()}]; main()"
    assert python(WITHOUT_RAY + code, tmp_path).startswith("done: |")
    (folder,) = (tmp_path / "out" / "search").iterdir()
    assert {path.name for path in folder.iterdir()} == {"params.json", "result.json", "run.pt"}
    job = json.loads((folder / "params.json").read_text())["job"]
    (line,) = map(json.loads, (folder / "result.json").read_text().splitlines())
    assert job["run_id"] == line["run_id"]
    assert job["settings"]["method"]["name"] == "darts"


def test_a_sweep_is_checked_and_listed_without_ray(tmp_path: Path) -> None:
    code = (
        "from drnas_ray.cli import main; sys.argv = ['drnas', 'sweep', 'demo', '--dry-run']; main()"
    )
    assert "12 runs" in python(WITHOUT_RAY + code, tmp_path)
