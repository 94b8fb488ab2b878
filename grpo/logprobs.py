"""Log-probs of sampled tokens for training, with every shared prefix computed once.

Sequences are laid out as a tree in one unpadded row, `[prompt | c1 | ... | cG]` for a group: positions restart at the
end of a prefix, each token attends to its ancestors and to itself (`grpo.models.attention.TokenTree`). The hidden state of a
shared token is the same for all who share it, so a token's log-prob comes from its predecessor's hidden state wherever
that lies in the row, and only those hidden states reach the output head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from grpo.models.attention import (
    Node,
    TokenTree,
    UnsupportedModel,
    output_logits,
    scale_and_softcap,
)
from grpo.models.fast_layers import use_fast_layers, wanted_states
from grpo.models.recurrence import SHORTEST, shares_prefixes
from grpo.sampling import cut_logits
from grpo.types import Sampling
from kernels import linear_logprob

SHARING_GAIN = 8
"""Queries that one more pass over a shared stretch may touch, per token that sharing saves."""
CUT_CHUNK_ROWS = 512
"""Rows of [rows, V] logits held at a time when the distribution is cut."""


@dataclass(frozen=True)
class Packed:
    """Sequences as one row of T tokens, or as B padded rows, and the M wanted tokens in the order of the sequences."""

    ids: Tensor
    """[1, T], or [B, T]"""
    positions: Tensor
    """Like ids: the place of each token in its own sequence."""
    tree: TokenTree | None
    """Who sees whom in the one row; None for padded rows."""
    predecessors: Tensor
    """[M]: where among all tokens the one before each wanted token lies."""
    targets: Tensor
    """[M]: the wanted tokens."""
    counts: tuple[int, ...]
    """Wanted tokens of each sequence; they sum to M."""

    def to(self, device: torch.device | str) -> Packed:
        """The same row with its tensors on `device`."""
        names = ("ids", "positions", "predecessors", "targets")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def pack(sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Packed:
    """Lays out `sequences` as a tree of common prefixes; `masks` (0/1, of their lengths) say which tokens are wanted.

    Tokens after a sequence's last wanted one influence nothing and are left out. Raises ValueError for unequal lengths,
    for a wanted first token (it has no predecessor) and when nothing is wanted at all.
    """
    wanted, ends = _wanted(sequences, masks)
    layout = _Layout([list(sequence[:end]) for sequence, end in zip(sequences, ends, strict=True)])
    return Packed(
        ids=torch.tensor([layout.ids]),
        positions=torch.tensor([layout.positions]),
        tree=TokenTree(tuple(layout.nodes)),
        predecessors=torch.tensor([layout.paths[row][place - 1] for row, place in wanted]),
        targets=torch.tensor([sequences[row][place] for row, place in wanted]),
        counts=tuple(map(sum, masks)),
    )


def pad(sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Packed:
    """`pack` for models that cannot share a row: a row each, padded at its end, which nothing before it sees."""
    wanted, ends = _wanted(sequences, masks)
    longest = max(ends)
    return Packed(
        ids=torch.tensor([[*sequence[:longest], *[0] * (longest - len(sequence))] for sequence in sequences]),
        positions=torch.arange(longest).expand(len(sequences), -1),
        tree=None,
        predecessors=torch.tensor([row * longest + place - 1 for row, place in wanted]),
        targets=torch.tensor([sequences[row][place] for row, place in wanted]),
        counts=tuple(map(sum, masks)),
    )


def _wanted(
    sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]
) -> tuple[list[tuple[int, int]], list[int]]:
    """(sequence, place) of every wanted token, and the last such place of each sequence (0 without one)."""
    for sequence, mask in zip(sequences, masks, strict=True):
        if len(sequence) != len(mask):
            raise ValueError(f"a sequence of {len(sequence)} tokens has a mask of {len(mask)}")
        if any(mask[:1]):
            raise ValueError("the first token of a sequence has no log-prob: its mask must be 0")
    wanted = [(row, place) for row, mask in enumerate(masks) for place, bit in enumerate(mask) if bit]
    if not wanted:
        raise ValueError("no token is wanted: every mask is 0")
    ends = dict.fromkeys(range(len(masks)), 0) | dict(wanted)
    return wanted, list(ends.values())


class _Layout:
    """The prefix tree of some sequences in depth-first order, and where each sequence's tokens lie in it."""

    def __init__(self, sequences: list[list[int]]) -> None:
        self.sequences = sequences
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.nodes: list[Node] = []
        self.paths: list[list[int]] = [[] for _ in sequences]
        self._place(sorted((row for row in range(len(sequences)) if sequences[row]), key=sequences.__getitem__), 0)

    def _place(self, rows: list[int], placed: int) -> None:
        """Lays out what lies beyond the first `placed` tokens of `rows`, which are in lexicographic order."""
        first, last = self.sequences[rows[0]], self.sequences[rows[-1]]
        common = common_length(first, last, placed)
        below = sum(len(self.sequences[row]) - common for row in rows)
        # A shared stretch saves its tokens once per further row, and costs one more pass over all queries below it and,
        # in recurrent layers, one over itself.
        stretch = common - placed
        worth_it = len(rows) == 1 or (stretch >= SHORTEST and stretch * (len(rows) - 1) * SHARING_GAIN > below)
        start = len(self.ids)
        if worth_it and common > placed:
            self.ids += first[placed:common]
            self.positions += range(placed, common)
            for row in rows:
                self.paths[row] += range(start, len(self.ids))
            placed = common
            self.nodes.append(Node(start, len(self.ids), len(self.ids)))
        index, end = len(self.nodes) - 1, len(self.ids)
        longer = [row for row in rows if len(self.sequences[row]) > common]
        # Rows that end where the others go on were either placed with them or stand alone.
        for row in rows[: len(rows) - len(longer)] if placed < common else ():
            self._place([row], placed)
        for _, branch in groupby(longer, key=lambda row: self.sequences[row][common]):
            self._place(list(branch), placed)
        if end > start:
            self.nodes[index] = Node(start, end, len(self.ids))


def common_length(first: Sequence[int], last: Sequence[int], start: int = 0) -> int:
    """Length of the common prefix of two sequences whose first `start` tokens are known to be equal."""
    length = min(len(first), len(last))
    while start < length and first[start] == last[start]:
        start += 1
    return start


def logprobs(model: PreTrainedModel, packed: Packed, sampling: Sampling, keep: int = 0) -> tuple[Tensor, Tensor]:
    """Log-prob and entropy, [M] each in fp32, of the wanted tokens under the distribution that `sampling` draws from.

    Differentiable in the model's weights. Where top-k, top-p or min-p cut the distribution, scoring is under the same
    cut, the sampled token always kept: another rounding than the sampler's must not make it impossible. `keep` bytes of
    logits are kept for the backward pass. Raises ValueError for temperature 0, which has no gradient, and
    UnsupportedModel (see `grpo.models.attention`).
    """
    if sampling.temperature <= 0.0:
        raise ValueError("log-probs need a positive temperature: greedy choices have no gradient")
    use_fast_layers(model)
    if packed.tree is not None and not shares_prefixes(model):
        raise UnsupportedModel("recurrent layers would leak states between the sequences of one row: pad them instead")
    hidden = wanted_states(model, packed.ids, packed.positions, packed.tree, packed.predecessors)
    if not sampling.cuts:
        head = model.get_output_embeddings()
        bias, (scale, softcap) = getattr(head, "bias", None), scale_and_softcap(model)
        temperature = sampling.temperature / scale  # no model has a soft cap as well
        return linear_logprob(hidden, head.weight, packed.targets, temperature, bias, softcap, keep)
    parts = [
        checkpoint(_cut_logprobs, model, rows, targets, sampling, use_reentrant=False)
        for rows, targets in zip(hidden.split(CUT_CHUNK_ROWS), packed.targets.split(CUT_CHUNK_ROWS), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _cut_logprobs(model: PreTrainedModel, hidden: Tensor, targets: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    log_probability = cut_logits(output_logits(model, hidden), sampling, keep=targets).log_softmax(-1)
    finite = log_probability.masked_fill(log_probability == float("-inf"), 0.0)
    entropy = -(log_probability.exp() * finite).sum(-1)
    return log_probability.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy
