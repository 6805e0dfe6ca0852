"""Weight-sharing methods, one file each. METHODS is the table of names."""

from drnas_ray.methods.base import Method
from drnas_ray.methods.bayesnas import BayesNAS
from drnas_ray.methods.darts import Darts
from drnas_ray.methods.drnas import DrNAS
from drnas_ray.methods.dsnas import Dsnas
from drnas_ray.methods.enas import Enas
from drnas_ray.methods.gaea import Gaea
from drnas_ray.methods.gdas import Gdas
from drnas_ray.methods.parsec import Parsec
from drnas_ray.methods.pcdarts import PCDarts
from drnas_ray.methods.pdarts import PDarts
from drnas_ray.methods.proxyless import Proxyless
from drnas_ray.methods.rsps import Rsps
from drnas_ray.methods.snas import Snas

METHODS: dict[str, type[Method]] = {
    "bayesnas": BayesNAS,
    "darts": Darts,
    "drnas": DrNAS,
    "dsnas": Dsnas,
    "enas": Enas,
    "gaea": Gaea,
    "gdas": Gdas,
    "parsec": Parsec,
    "pcdarts": PCDarts,
    "pdarts": PDarts,
    "proxyless": Proxyless,
    "rsps": Rsps,
    "snas": Snas,
}
