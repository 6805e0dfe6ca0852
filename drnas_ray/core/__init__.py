"""What every room uses: errors, files, stores, and a supernet's architecture (`ArchSample`)."""
