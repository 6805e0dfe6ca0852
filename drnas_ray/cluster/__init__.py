"""Cluster files: what is wrong with them, found before machines are started and paid for.

Only `drnas cluster` uses this package. check: all rules for a file. ray_schema: Ray's own check and
the keys that Ray loses. launch: rules for every `ray up` file, with aws, onprem and storage. kube:
rules for KubeRay files. capacity: how many trials the workers of a file hold.
"""

from drnas_ray.cluster.check import check
from drnas_ray.cluster.finding import Finding, Level

__all__ = ["Finding", "Level", "check"]
