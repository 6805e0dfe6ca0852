"""drnas-ray: neural architecture search as Ray Tune sweeps, from seeds to tables.

The rooms, from the ground up; a room uses only those above it in this list:

    core         errors, files, stores, what a supernet is called with (ArchSample)
    spaces       search spaces: what can be chosen, as plain data; no torch
    config       every setting, as frozen pydantic models
    results      a results folder: its layout, statuses, records, metrics; no torch, no Ray
    data         data sets as uint8 tensors; augmentation on the device
    supernets    networks that get their architecture with every call
    methods      one file per method with a supernet
    benchmarks   tables of trained cells, and caches of cells trained on demand
    networks     the network of one cell, to train from scratch
    blackbox     methods without a supernet: they propose cells and get their accuracies
    parsing      plain mappings to checked settings
    search       the one search loop; training from scratch; diagnostics
    jobs         what a trial drives: a run, or several runs as one, and their checkpoints
    sweeps       sweep files to Ray Tune: spec, plan, tune, ray_tune
    cli          the commands

Apart from the core: `importers` (official benchmark files to a table), `cluster` (checks of cluster
files). `tests/test_fences.py` holds the order.
"""

__version__ = "0.1.0"
