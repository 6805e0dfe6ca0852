"""What every room uses: errors, files, stores, and what a supernet is told (`ArchSample`)."""
