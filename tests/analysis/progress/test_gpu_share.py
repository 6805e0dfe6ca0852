"""How many trials fit on a GPU; and damaged checkpoints that a trial could not go on from."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from analysis.progress.gpu_share import PROCESS_MIB, USABLE, gpu_shares
from analysis.records.collect import collect, export
from drnas_ray.cli import app

GPU = "NVIDIA Fake"


def measured(fake, peaks, total):
    fake.run("a0")
    on = {"device": GPU, "gpu_total_mib": total}
    fake.trial(
        "a0", [fake.epoch("a0", e, gpu_peak_mib=peak, **on) for e, peak in enumerate(peaks, 1)]
    )
    return fake.write()


@pytest.mark.parametrize("total", [8192.0, 81559.0])
def test_as_many_as_fit_get_a_share_that_lets_no_more_run(fake, total):
    (gpu,) = gpu_shares(collect(measured(fake, [1000.0, 3174.0, 2000.0], total)))
    assert (gpu.device, gpu.peak_mib, gpu.total_mib) == (GPU, 3174.0, total)
    each = 3174.0 + PROCESS_MIB
    assert gpu.fit * each <= USABLE * total < (gpu.fit + 1) * each
    assert gpu.fit * gpu.share <= 1 < (gpu.fit + 1) * gpu.share


def test_a_trial_that_takes_nearly_all_is_alone(fake):
    (gpu,) = gpu_shares(collect(measured(fake, [7900.0], 8192.0)))
    assert gpu.fit == 0


def test_no_gpu_no_advice(fake):
    fake.complete("a0")
    assert gpu_shares(collect(fake.write())) == ()


def test_status_says_how_many_fit(fake):
    out = measured(fake, [3174.0], 81559.0)
    shown = CliRunner().invoke(app, ["status", str(out)])
    said = f"{GPU}: a trial used at most 3.1 of 79.6 GiB: 19 fit at once (resources.gpu=0.052)"
    assert said in " ".join(shown.stdout.split())
    told = json.loads(CliRunner().invoke(app, ["status", str(out), "--json"]).stdout)
    assert told["gpus"][0]["fit"] == 19


def test_a_damaged_checkpoint_is_a_warning(fake):
    fake.run("a0")
    folder = fake.trial("a0", [fake.epoch("a0", 1)])
    line = {"problem": "checkpoint c_2/run.pt is damaged: cut", "used": "c_1", "epoch": 1}
    (folder / "passed_over.jsonl").write_text(json.dumps(line) + '\n{"half')
    out = fake.write()
    said = "run a0: checkpoint c_2/run.pt is damaged: cut: resumed from c_1, epoch 1"
    assert export(out).warnings == (said,)
    told = json.loads(CliRunner().invoke(app, ["status", str(out), "--json"]).stdout)
    assert told["warnings"] == [said]
