"""Data sets as uint8 tensors; batches and augmentation on the device."""

from drnas_ray.data.batches import (
    augment,
    batch_count,
    eval_batches,
    normalise,
    random_batch,
    train_batches,
)
from drnas_ray.data.catalog import (
    DATASETS,
    check_data,
    load_test,
    load_train,
    prepare,
    search_halves,
)
from drnas_ray.data.images import DataInfo, ImageSet

__all__ = [
    "DATASETS",
    "DataInfo",
    "ImageSet",
    "augment",
    "batch_count",
    "check_data",
    "eval_batches",
    "load_test",
    "load_train",
    "normalise",
    "prepare",
    "random_batch",
    "search_halves",
    "train_batches",
]
