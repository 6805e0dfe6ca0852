"""What the commands do, as functions: where searches, sweeps and analysis are combined.

    sweeps      plan a sweep, run it, and publish its results
    exports     a derived cell as a file: genotype, torch.export program, ONNX model
    estimates   what a sweep will take on a cluster

Only this package and the command line may import both `drnas_ray` and `analysis` or `trainables`.
Importing it is cheap: each function imports what it needs.
"""
