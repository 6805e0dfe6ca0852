"""Data sets as uint8 tensors; batches and augmentation on the device."""
