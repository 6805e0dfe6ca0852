"""Data sets as uint8 tensors; batches and augmentation on the device.

facts: the table of data sets, without torch. catalog: images by settings. digits, public,
imagenet16, folder, parquet: readers. batches: augmentation. splits: fixed choices of images.
"""
