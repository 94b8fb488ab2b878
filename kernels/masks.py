"""Masks of attention scores: they hide the future and the tokens outside a sliding window."""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -1e30
"""Score of a hidden key. e^MASKED is 0. Unlike minus infinity, it gives no NaN if all keys of a part are hidden."""


def score_mask(distance: Tensor, window: int | None) -> Tensor:
    """distance [*] from each key to its query, in tokens -> [*] to add to the scores: 0, or MASKED for a hidden key.

    With a window, a token attends to itself and to the `window - 1` tokens before it.
    """
    hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
    return torch.zeros(distance.shape, device=distance.device).masked_fill_(hidden, MASKED)


def window_mask(queries: Tensor, keys: Tensor, window: int | None, device: torch.device) -> Tensor | None:
    """`score_mask` [T, S] for queries at positions [T] and keys at positions [S]; None if the window hides no key."""
    if window is None or not len(keys):
        return None
    if int(queries.max() - keys.min()) < window:
        return None
    return score_mask(queries.to(device).unsqueeze(1) - keys.to(device), window)
