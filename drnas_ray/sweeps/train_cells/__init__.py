"""Training many cells from scratch through Ray: `drnas bench build`."""
