"""Loss and accuracy over the batches of an epoch."""

from __future__ import annotations

import torch
from torch import Tensor


class Tally:
    """Loss and accuracy over batches, added up on the device so that reading waits for it once."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, and how many labels its logits hit."""
        correct = (logits.argmax(-1) == labels).sum()
        count = torch.full_like(loss, len(labels))
        self.sums += torch.stack([loss * count, correct.to(loss.dtype), count])

    def read(self) -> tuple[float, float]:
        """Mean loss and accuracy in percent since the last read."""
        loss, correct, count = self.sums.tolist()
        self.sums.zero_()
        return loss / max(count, 1.0), 100.0 * correct / max(count, 1.0)
