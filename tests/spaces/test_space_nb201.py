"""The NAS-Bench-201 space: codecs, the benchmark's numbering and classes, discretisation."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drnas_ray.core.errors import UserError
from drnas_ray.spaces import SPACES, space_named
from drnas_ray.spaces.nb201 import EDGES, NB201, OPS

SPACE = NB201()
KNOWN = {  # the published DrNAS, DARTS, and ResNet rows
    9930: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    1835: "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
    "+|skip_connect~0|skip_connect~1|skip_connect~2|",
    11472: "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
}
choices_of_a_cell = st.lists(st.integers(0, 4), min_size=6, max_size=6)


def cell(*ops: str) -> str:
    """A genotype from short names, in the order 1<-0 2<-0 2<-1 3<-0 3<-1 3<-2."""
    long = {"n": 0, "s": 1, "1": 2, "3": 3, "p": 4}
    return SPACE.genotype(np.array([[long[op] for op in ops]]))


@given(choices_of_a_cell)
def test_codecs_round_trip(chosen):
    genotype = SPACE.genotype(np.array([chosen]))
    assert SPACE.check(genotype) == genotype
    assert SPACE.choices(genotype).tolist() == [chosen]
    index = SPACE.index(genotype)
    assert 0 <= index < 15625
    assert SPACE.cell(index) == genotype
    # The string itself says which operation is on which edge.
    parts = genotype.replace("+", "").strip("|").replace("||", "|").split("|")
    sources = [source for _, source in EDGES]
    names = [OPS[op] for op in chosen]
    assert parts == [f"{op}~{source}" for op, source in zip(names, sources, strict=True)]
    for op in OPS:
        assert SPACE.op_count(genotype, op) == names.count(op)


@given(choices_of_a_cell)
def test_canonical_is_idempotent_and_never_of_a_higher_index(chosen):
    genotype = SPACE.genotype(np.array([chosen]))
    canonical = SPACE.canonical(genotype)
    assert SPACE.canonical(canonical) == canonical
    assert SPACE.index(canonical) <= SPACE.index(genotype)


def test_there_are_15625_cells_in_6466_groups():
    cells = {SPACE.cell(index) for index in range(15625)}
    assert len(cells) == 15625 == SPACE.size
    assert len({SPACE.canonical(each) for each in cells}) == 6466


def test_known_isomorphic_cells():
    # The benchmark compares texts, where an edge without a signal leaves a mark; so cells of equal
    # function may count as different; these are some that it counts as the same.
    equal = [
        # Node 1 equals the input, so operations that read either can be swapped.
        (cell("s", "1", "p", "n", "n", "s"), cell("s", "p", "1", "n", "n", "s")),
        (cell("s", "1", "p", "3", "s", "s"), cell("s", "p", "1", "s", "3", "s")),
        # Nodes 1 and 2 are equal, so either can be the source.
        (cell("3", "3", "n", "n", "1", "n"), cell("3", "1", "n", "n", "1", "n")),
        # What leaves a node without any input doesn't matter.
        (cell("n", "3", "1", "n", "3", "s"), cell("n", "3", "n", "n", "n", "s")),
        # Nobody reads node 2.
        (cell("1", "s", "n", "3", "p", "n"), cell("1", "p", "3", "3", "p", "n")),
    ]
    for a, b in equal:
        assert a != b
        assert SPACE.canonical(a) == SPACE.canonical(b), (a, b)
    different = [
        (cell("3", "n", "n", "n", "s", "n"), cell("1", "n", "n", "n", "s", "n")),
        (cell("3", "n", "n", "n", "1", "n"), cell("1", "n", "n", "n", "3", "n")),
        (cell("s", "s", "s", "s", "s", "s"), cell("s", "s", "s", "s", "s", "n")),
    ]
    for a, b in different:
        assert SPACE.canonical(a) != SPACE.canonical(b), (a, b)


def test_isomorphic_cells_compute_the_same():
    """Independently: give each operation a fixed random map and evaluate every class's members."""
    rng = np.random.default_rng(0)
    maps = {op: rng.normal(size=(2, 3, 3)) for op in ("nor_conv_1x1", "nor_conv_3x3")}
    maps["avg_pool_3x3"] = rng.normal(size=(2, 3, 3))
    x = rng.normal(size=3)

    def value(genotype: str) -> np.ndarray:
        nodes = [x] + [np.zeros(3) for _ in range(3)]
        for (target, source), op in zip(EDGES, SPACE.choices(genotype)[0], strict=True):
            name = OPS[op]
            if name == "skip_connect":
                nodes[target] = nodes[target] + nodes[source]
            elif name != "none" and np.any(nodes[source]):
                a, b = maps[name]
                nodes[target] = nodes[target] + a @ np.tanh(b @ nodes[source])
        return nodes[3]

    groups = defaultdict(list)
    for index in range(0, 15625, 7):
        genotype = SPACE.cell(index)
        groups[SPACE.canonical(genotype)].append(genotype)
    for canonical, members in groups.items():
        for member in members:
            np.testing.assert_allclose(value(member), value(canonical), atol=1e-9)


def test_known_indexes():
    for index, genotype in KNOWN.items():
        assert SPACE.index(genotype) == index
        assert SPACE.cell(index) == genotype


@pytest.mark.table
def test_the_benchmarks_order(nb201_table):
    assert nb201_table["arch_index"].tolist() == list(range(15625))
    assert [SPACE.cell(index) for index in range(15625)] == nb201_table["arch"].tolist()


@pytest.mark.table
def test_the_benchmarks_classes(nb201_table):
    """The same partition as the table's column, not merely as many classes."""
    ours = [SPACE.canonical(arch) for arch in nb201_table["arch"]]
    pairs = set(zip(ours, nb201_table["unique_group"], strict=True))
    assert len(pairs) == len(set(ours)) == nb201_table["unique_group"].nunique() == 6466


@pytest.mark.table
def test_published_rows_are_these_cells(nb201_table):
    published = {  # CIFAR-10, CIFAR-100, ImageNet16-120 test accuracy
        9930: (94.36, 73.51, 46.34),
        1835: (54.30, 15.61, 16.32),
        11472: (93.97, 70.86, 43.63),
        2299: (None, 38.97, 18.41),
    }
    columns = ["cifar10_test_acc_200", "cifar100_test_acc_200", "imagenet16_test_acc_200"]
    for index, figures in published.items():
        genotype = KNOWN.get(index, SPACE.cell(index))
        row = nb201_table.loc[nb201_table["arch"] == genotype].iloc[0]
        assert row["arch_index"] == index
        for column, figure in zip(columns, figures, strict=True):
            if figure is not None:
                assert row[column] == pytest.approx(figure, abs=0.7)


# --- discretise ---------------------------------------------------------------------------------


@given(choices_of_a_cell, st.integers(0, 2**32 - 1))
def test_discretise_takes_the_strongest(chosen, seed):
    rng = np.random.default_rng(seed)
    strengths = rng.normal(size=(1, 6, 5))
    strengths[0, range(6), chosen] = strengths.max() + rng.uniform(0.01, 1, size=6)
    assert SPACE.choices(SPACE.discretise(strengths)).tolist() == [chosen]
    assert SPACE.choices(SPACE.discretise(strengths.astype(np.float32))).tolist() == [chosen]


def test_every_operation_can_be_chosen_on_every_edge_none_included():
    for edge, op in product(range(6), range(5)):
        strengths = np.zeros((1, 6, 5))
        strengths[0, edge, op] = 1
        chosen = SPACE.choices(SPACE.discretise(strengths))[0]
        assert chosen[edge] == op
        assert (np.delete(chosen, edge) == 0).all()  # ties go to the earlier operation


def test_minus_infinity_is_never_chosen():
    strengths = np.full((1, 6, 5), -np.inf)
    strengths[0, range(6), [0, 1, 2, 3, 4, 0]] = -1e30
    assert SPACE.choices(SPACE.discretise(strengths)).tolist() == [[0, 1, 2, 3, 4, 0]]


@pytest.mark.parametrize("shape", [(6, 5), (1, 5, 6), (2, 6, 5), (1, 6, 4), (0,)], ids=str)
def test_another_shape_is_refused(shape):
    with pytest.raises(UserError, match=r"shape .*nb201 needs \(1, 6, 5\)"):
        SPACE.discretise(np.zeros(shape))


def test_strengths_without_a_ranking_are_refused():
    for bad in (np.nan, [-np.inf] * 5):
        strengths = np.zeros((1, 6, 5))
        if isinstance(bad, list):
            strengths[0, 4] = bad
        else:
            strengths[0, 4, 2] = bad
        with pytest.raises(UserError, match="edge 4"):
            SPACE.discretise(strengths)


# --- errors -------------------------------------------------------------------------------------

GOOD = KNOWN[9930]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        GOOD[:-1],
        GOOD + "\n",
        GOOD.replace("~2", "~1"),
        GOOD.replace("+", ""),
        GOOD + GOOD,
        "|a~0|",
        " " + GOOD,
    ],
)
def test_a_malformed_genotype_is_refused(bad):
    for ask in (SPACE.check, SPACE.index, SPACE.canonical, SPACE.choices):
        with pytest.raises(UserError, match="not a NAS-Bench-201 cell"):
            ask(bad)


def test_an_unknown_operation_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r"nor_conv_3x4.*did you mean 'nor_conv_3x3'"):
        SPACE.check(GOOD.replace("nor_conv_3x3~2", "nor_conv_3x4~2"))


@pytest.mark.parametrize("index", [-1, 15625])
def test_an_index_outside_is_refused(index):
    with pytest.raises(UserError, match=str(index)):
        SPACE.cell(index)


def test_spaces_by_name():
    assert isinstance(space_named("nb201"), NB201)
    with pytest.raises(UserError, match="did you mean 'nb201'"):
        space_named("nb210")
    for name, space in SPACES.items():
        assert space.name == name
        assert space.shape == (len(space.cell_types), len(space.edges), len(space.ops))
        assert space.skip_op in space.ops


def test_random_cells_follow_the_generator_and_are_uniform():
    a, b = ([SPACE.random(np.random.default_rng(seed)) for seed in range(20)] for _ in range(2))
    assert a == b
    rng = np.random.default_rng(0)
    drawn = np.concatenate([SPACE.choices(SPACE.random(rng)) for _ in range(3000)])
    for edge in range(6):
        counts = np.bincount(drawn[:, edge], minlength=5)
        assert ((counts - 600) ** 2 / 600).sum() < 25  # chi-squared, 4 degrees of freedom


def test_all_cells_are_listed_with_their_choices_earlier_operations_first():
    genotypes, choices = SPACE.every()
    assert len(set(genotypes)) == SPACE.size == len(choices)
    for place in (0, 1, 5, 624, 9999, 15_624):
        assert (SPACE.choices(genotypes[place]) == choices[place]).all()
    flat = [tuple(row) for row in choices[:, 0]]
    assert flat == sorted(flat)
