"""`python -m drnas_ray.cli`."""

from drnas_ray.cli import main

main()
