"""A sweep from the outside, while it runs or afterwards.

- status: how far it is and how long it will still take (`drnas status`)
- epoch_times: seconds per epoch, from which larger sweeps are estimated
- gpu_share: how many trials fit on one GPU
"""
