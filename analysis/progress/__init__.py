"""A sweep from the outside, while it runs or afterwards.

- status: what is done and how long the rest will take (`drnas status`)
- epoch_times: seconds per epoch, from which larger sweeps are estimated
- gpu_share: how many trials fit on one GPU
"""
