"""drnas-ray: differentiable architecture search as Ray Tune sweeps, from seeds to tables."""

__version__ = "0.1.0"
