from __future__ import annotations

from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image

from analysis.cells.draw import draw_all, draw_cell
from analysis.cells.plot import draw_edges
from analysis.records.collect import collect
from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES

NB201 = SPACES["nb201"]


def svg_text(path) -> str:
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_draw_cell(tmp_path):
    genotype = NB201.cell(77)
    png, svg = draw_cell(genotype, "nb201", tmp_path / "deep" / "lr=0.01")
    assert (png.name, svg.name) == ("lr=0.01.png", "lr=0.01.svg")
    with Image.open(png) as image:
        image.load()
        assert image.size == (1200, 690)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10
    text = svg_text(svg)
    for op in {part.split("~")[0] for part in genotype.strip("|").replace("+", "").split("|")}:
        assert op == "" or op in text
    assert genotype in text


def test_pictures_are_the_same_twice(tmp_path):
    one = draw_cell(NB201.cell(9930), "nb201", tmp_path / "one", "title")
    two = draw_cell(NB201.cell(9930), "nb201", tmp_path / "two", "title")
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_draw_cell_refuses(tmp_path):
    with pytest.raises(UserError, match="unknown space 'nb202': did you mean 'nb201'"):
        draw_cell(NB201.cell(0), "nb202", tmp_path / "x")
    with pytest.raises(UserError, match="is not a NAS-Bench-201 cell"):
        draw_cell("cell", "nb201", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_draw_all(mixed, tmp_path):
    mixed.complete("e0", label="Dr/NAS $a$", variant={"arch.lr": 0.01})
    mixed.complete("e1", label="Dr NAS $a$", variant={"arch.lr": 0.01})
    paths = draw_all(collect(mixed.write()).runs, tmp_path / "cells")
    names = [path.name for path in paths if path.suffix == ".svg"]
    assert names == [
        "DrNAS-digits-cell9930.svg",
        "DrNAS-digits-cell11472.svg",
        "DARTS-digits-cell1835.svg",
        "Dr-NAS-a-arch.lr=0.01-digits-cell9930.svg",
        "Dr-NAS-a-arch.lr=0.01-digits-cell9930-2.svg",
        "cells.svg",
    ]
    assert all(path.stat().st_size > 5000 for path in paths)
    text = svg_text(tmp_path / "cells" / names[0])
    assert "seeds 0, 1; test accuracy 97.25 % after retraining for 2 epochs" in text
    assert "Dr/NAS $a$, arch.lr=0.01 on digits" in svg_text(tmp_path / "cells" / names[3])
    overview = svg_text(tmp_path / "cells" / "cells.svg")
    assert "seed 2" in overview
    assert "no cell" in overview


def test_draw_all_without_a_done_run(fake, tmp_path):
    fake.run("d0")
    assert draw_all(collect(fake.write()).runs, tmp_path / "cells") == []


def test_a_cell_of_two_inputs_and_a_concatenation():
    """DrNAS's published CIFAR-10 normal cell, as edges: each is drawn and named."""
    edges = [
        (2, 0, "sep_conv_3x3"), (2, 1, "sep_conv_5x5"), (3, 1, "sep_conv_3x3"),
        (3, 2, "sep_conv_3x3"), (4, 0, "skip_connect"), (4, 1, "sep_conv_3x3"),
        (5, 2, "sep_conv_3x3"), (5, 3, "dil_conv_5x5"),
    ]  # fmt: skip
    axes = Figure().add_subplot()
    draw_edges(axes, edges, concat=(2, 3, 4, 5))
    written = [text.get_text() for text in axes.texts]
    assert sorted(written) == sorted(
        ["c-2", "c-1", "0", "1", "2", "3", "out", *(e[2] for e in edges)]
    )
    assert sum(isinstance(one, FancyArrowPatch) for one in axes.patches) == len(edges) + 4
    places = [text.get_position() for text in axes.texts]
    assert len(set(places)) == len(places)
    low, high = axes.get_ylim()
    assert all(low < y < high for _, y in places)
