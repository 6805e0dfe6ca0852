"""The columns of a benchmark table: their names, and their source in the official files.

`{split}_{metric}_{epochs}` is a mean over training seeds, with `..._std` (divided by n - 1, so null
for one seed), `..._n` and `..._by_seed` beside it. Accuracies are in percent, times in
seconds. Names of sets are those of NATS-Bench (arXiv:2009.00437) and its README.
"""

from __future__ import annotations

import re

CELLS = 15_625
SCHEMA_VERSION = 1
EPOCHS = (12, 200)
METRICS = ("acc", "loss", "time_s")

PREFIXES = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet16"}
"""Our name of a data set -> its column prefix."""

NETWORKS = {
    "cifar10-valid": "cifar10valid",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "ImageNet16-120": "imagenet16",
}
"""The official name of a network's training set -> its column prefix.

`cifar10-valid` networks saw 25,000 images of CIFAR-10, `cifar10` networks all 50,000.
"""

SPLITS = {
    ("cifar10-valid", "train"): "cifar10valid_train",
    ("cifar10-valid", "x-valid"): "cifar10_valid",
    ("cifar10-valid", "ori-test"): "cifar10valid_test",
    ("cifar10", "train"): "cifar10_train",
    ("cifar10", "ori-test"): "cifar10_test",
    **{
        (network, theirs): f"{NETWORKS[network]}_{ours}"
        for network in ("cifar100", "ImageNet16-120")
        for theirs, ours in (
            ("train", "train"), ("x-valid", "valid"), ("x-test", "test"), ("ori-test", "valtest"),
        )
    },
}  # fmt: skip
"""(network, official set) -> our split. `valtest` is validation and test images together."""

COST_COLUMNS = {"params_mb": "parameters in millions", "flops_m": "multiply-adds in millions",
         "latency_s": "seconds per batch on the authors' GPU"}  # fmt: skip


def prefix_of(dataset: str) -> str:
    """A data set's column prefix: the official one, else made from its name."""
    return PREFIXES.get(dataset) or re.sub(r"\W+", "_", dataset)


def column_of(dataset: str, split: str, epochs: int, metric: str = "acc") -> str:
    """The column of a figure (a mean over seeds)."""
    return f"{prefix_of(dataset)}_{split}_{metric}_{epochs}"


def validation_network(dataset: str) -> str:
    """The column prefix of the network that validation figures come from.

    CIFAR-10's is trained on one half and evaluated on the other; `cifar10` is trained on all
    images.
    """
    return network_of(f"{prefix_of(dataset)}_valid")


def network_of(split: str) -> str:
    """The column prefix of the network that a split (`cifar10_valid`) was measured on."""
    for (network, _), ours in SPLITS.items():
        if ours == split:
            return NETWORKS[network]
    return split.rpartition("_")[0]
