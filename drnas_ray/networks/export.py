"""A network as a file of its own: a torch.export program, or ONNX. Neither needs this package.

TorchScript is deprecated, and loading a pickled module would run this package's code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from drnas_ray.core.errors import UserError
from drnas_ray.data.facts import DataShape

FACTS = "drnas_ray.json"
"""Where the facts are kept: an extra file of a program, a metadata entry of an ONNX model."""


def torch_program(net: nn.Module, images: DataShape, facts: Mapping[str, Any]) -> bytes:
    """A `.pt2` archive of the network in evaluation mode, for any number of images.

    `torch.export.load(file).module()` maps images (n, channels, side, side) to logits (n, classes).
    facts: plain values, kept as JSON in the archive's extra file `FACTS`.
    """
    net.eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (_example(images),), dynamic_shapes=(batch,))
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)  # lines and paths of this machine's files
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={FACTS: json.dumps(facts)})
    return buffer.getvalue()


def onnx_model(net: nn.Module, images: DataShape, facts: Mapping[str, Any]) -> bytes:
    """An ONNX model of the network in evaluation mode: `images` to `logits`, any number of images.

    facts: plain values, kept as JSON in the model's metadata `FACTS`. Raises UserError where the
    packages it needs are not installed.
    """
    try:
        import onnxscript  # noqa: F401, PLC0415 - an optional extra
    except ImportError as error:
        raise UserError(
            f"export to ONNX needs onnx and onnxscript ({error}): pip install 'drnas-ray[export]'"
        ) from error
    net.eval()
    program = torch.onnx.export(
        net,
        (_example(images),),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
    )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # lines and paths of this machine's files
    model.metadata_props.add(key=FACTS, value=json.dumps(facts))
    content: bytes = model.SerializeToString()
    return content


def _example(images: DataShape) -> torch.Tensor:
    """Two images: torch would take a batch of one for a fixed size."""
    return torch.zeros(2, images.channels, images.side, images.side)
