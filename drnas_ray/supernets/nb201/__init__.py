"""The NAS-Bench-201 supernet: plain and fused cells, conversion between them, widening."""
