"""How runs are named for people."""

from __future__ import annotations

import json


def variant_text(variant: str) -> str:
    """`{"arch.lr": 0.01}` as arch.lr=0.01; empty for no variant."""
    return ", ".join(f"{key}={value}" for key, value in sorted(json.loads(variant).items()))


def full_label(label: str, variant: str) -> str:
    """`DrNAS`, or with its variant (JSON) `DrNAS, arch.lr=0.01`."""
    return ", ".join(filter(None, (label, variant_text(variant))))
