"""Exported networks: what other runtimes compute from the file alone, without this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import DataShape
from drnas_ray.networks import export
from drnas_ray.networks.nb201 import NB201Network

IMAGES = DataShape(channels=2, classes=3, side=7)
CELL = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
FACTS = {"genotype": CELL, "weights": "invented", "input": {"mean": None}}

# Runs where none of our packages can be imported, and reads nothing but the files.
READER = """
import json, sys
for name in ("drnas_ray", "analysis", "trainables"):
    sys.modules[name] = None
import numpy as np, onnx, onnxruntime, torch
folder = sys.argv[1]
facts = {"drnas_ray.json": ""}
net = torch.export.load(f"{folder}/net.pt2", extra_files=facts).module()
onnx.checker.check_model(onnx.load(f"{folder}/net.onnx"), full_check=True)
session = onnxruntime.InferenceSession(f"{folder}/net.onnx")
said = [json.loads(facts["drnas_ray.json"])]
said.append(json.loads(session.get_modelmeta().custom_metadata_map["drnas_ray.json"]))
for batch in (1, 2, 5):
    images = np.load(f"{folder}/images-{batch}.npy")
    np.save(f"{folder}/torch-{batch}.npy", net(torch.from_numpy(images)).detach().numpy())
    (logits,) = session.run(["logits"], {"images": images})
    np.save(f"{folder}/onnx-{batch}.npy", logits)
print(json.dumps(said))
"""


def network() -> NB201Network:
    """One whose statistics and affine weights are not those that it starts with."""
    torch.manual_seed(0)
    net = NB201Network(CELL, channels=4, cells=1, in_channels=2, classes=3)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 2.0)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_()
    return net


@pytest.fixture(scope="module")
def read_elsewhere(tmp_path_factory) -> tuple[Path, list[dict]]:
    """A folder with files, images and what another process computed; the facts that it read."""
    folder = tmp_path_factory.mktemp("export")
    net = network()
    (folder / "net.pt2").write_bytes(export.torch_program(net, IMAGES, FACTS))
    (folder / "net.onnx").write_bytes(export.onnx_model(net, IMAGES, FACTS))
    rng = np.random.default_rng(0)
    for batch in (1, 2, 5):
        np.save(folder / f"images-{batch}", rng.normal(size=(batch, 2, 7, 7)).astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder)], cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_file_computes_the_same_as_the_network(read_elsewhere, runtime, batch):
    folder, _ = read_elsewhere
    net = network().eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(np.load(folder / f"images-{batch}.npy"))).numpy()
    found = np.load(folder / f"{runtime}-{batch}.npy")
    assert found.shape == (batch, 3)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_file_contains_its_facts(read_elsewhere):
    assert read_elsewhere[1] == [FACTS, FACTS]


def test_no_path_of_this_machine_is_in_the_file(read_elsewhere):
    folder, _ = read_elsewhere
    here = str(Path(export.__file__).parents[2]).encode()
    installed = str(Path(torch.__file__).parents[1]).encode()
    for name in ("net.pt2", "net.onnx"):
        content = (folder / name).read_bytes()  # neither is compressed
        assert here not in content
        assert installed not in content


def test_onnx_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs onnx and onnxscript.*drnas-ray\[export\]"):
        export.onnx_model(network(), IMAGES, FACTS)
