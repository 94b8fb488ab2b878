"""Sequences of a micro-batch in one row, with every shared prefix once.

Sequences are laid out as a tree in one unpadded row, `[prompt | c1 | ... | cG]` for a group. Positions restart at the
end of a prefix, and each token attends to its ancestors and to itself (`grpo.models.token_tree.TokenTree`). The hidden
state of a shared token is the same for all sequences that share it, so a token's log-prob comes from the hidden state
of its predecessor, wherever that is in the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from grpo.models.token_tree import SHORTEST_STRETCH, Node, TokenTree

SHARING_GAIN = 8
"""Queries that one more pass over a shared stretch may touch, per token that sharing saves."""


@dataclass(frozen=True)
class Packed:
    """Sequences as one row of T tokens, or as B padded rows, and their M scored tokens, sequence by sequence."""

    ids: Tensor
    """[1, T], or [B, T]"""
    positions: Tensor
    """Like ids: the place of each token in its own sequence."""
    tree: TokenTree | None
    """Which tokens of the one row attend to which; None for padded rows."""
    predecessors: Tensor
    """[M]: the place, among all tokens, of the token before each scored one."""
    targets: Tensor
    """[M]: the scored tokens."""
    counts: tuple[int, ...]
    """Scored tokens of each sequence; they sum to M."""

    def to(self, device: torch.device | str) -> Packed:
        """The same batch with its tensors on `device`."""
        names = ("ids", "positions", "predecessors", "targets")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})


def pack(sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Packed:
    """Lays out `sequences` as a tree of common prefixes; `masks` (0/1, of their lengths) mark the scored tokens.

    Tokens after a sequence's last scored one influence nothing and are left out. Raises ValueError for unequal lengths,
    for a scored first token (it has no predecessor), and if no token is scored.
    """
    scored, ends = _scored(sequences, masks)
    layout = _Layout([list(sequence[:end]) for sequence, end in zip(sequences, ends, strict=True)])
    return Packed(
        ids=torch.tensor([layout.ids]),
        positions=torch.tensor([layout.positions]),
        tree=TokenTree(tuple(layout.nodes)),
        predecessors=torch.tensor([layout.paths[index][place - 1] for index, place in scored]),
        targets=torch.tensor([sequences[index][place] for index, place in scored]),
        counts=tuple(map(sum, masks)),
    )


def pad(sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Packed:
    """`pack` for models that cannot share a row: one row a sequence, padded at its end, where no token follows."""
    scored, ends = _scored(sequences, masks)
    longest = max(ends)
    return Packed(
        ids=torch.tensor([[*sequence[:longest], *[0] * (longest - len(sequence))] for sequence in sequences]),
        positions=torch.arange(longest).expand(len(sequences), -1),
        tree=None,
        predecessors=torch.tensor([index * longest + place - 1 for index, place in scored]),
        targets=torch.tensor([sequences[index][place] for index, place in scored]),
        counts=tuple(map(sum, masks)),
    )


def _scored(
    sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]
) -> tuple[list[tuple[int, int]], list[int]]:
    """(sequence, place) of every scored token, and the last such place of each sequence (0 without one)."""
    for sequence, mask in zip(sequences, masks, strict=True):
        if len(sequence) != len(mask):
            raise ValueError(f"a sequence of {len(sequence)} tokens has a mask of {len(mask)}")
        if any(mask[:1]):
            raise ValueError("the first token of a sequence has no log-prob: its mask must be 0")
    scored = [(index, place) for index, mask in enumerate(masks) for place, bit in enumerate(mask) if bit]
    if not scored:
        raise ValueError("no token is scored: every mask is 0")
    ends = dict.fromkeys(range(len(masks)), 0) | dict(scored)
    return scored, list(ends.values())


class _Layout:
    """The prefix tree of some sequences in depth-first order, and where each sequence's tokens are in it."""

    def __init__(self, sequences: list[list[int]]) -> None:
        self.sequences = sequences
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.nodes: list[Node] = []
        self.paths: list[list[int]] = [[] for _ in sequences]
        self._place(sorted((i for i in range(len(sequences)) if sequences[i]), key=sequences.__getitem__), 0)

    def _place(self, members: list[int], depth: int) -> None:
        """Lays out the tokens beyond the first `depth` of some sequences, which are in lexicographic order."""
        first, last = self.sequences[members[0]], self.sequences[members[-1]]
        common = common_length(first, last, depth)
        below = sum(len(self.sequences[index]) - common for index in members)
        # A shared stretch saves its tokens once per further sequence. It costs one more pass over all queries below it
        # and, in recurrent layers, one over itself.
        stretch = common - depth
        saves = stretch * (len(members) - 1) * SHARING_GAIN > below
        start = len(self.ids)
        if stretch and (len(members) == 1 or (stretch >= SHORTEST_STRETCH and saves)):
            self.ids += first[depth:common]
            self.positions += range(depth, common)
            for index in members:
                self.paths[index] += range(start, len(self.ids))
            depth = common
            self.nodes.append(Node(start, len(self.ids), len(self.ids)))
        node, end = len(self.nodes) - 1, len(self.ids)
        longer = [index for index in members if len(self.sequences[index]) > common]
        # Sequences that end where the others continue were either placed with them or get a node of their own.
        for index in members[: len(members) - len(longer)] if depth < common else ():
            self._place([index], depth)
        for _, branch in groupby(longer, key=lambda index: self.sequences[index][common]):
            self._place(list(branch), depth)
        if end > start:
            self.nodes[node] = Node(start, end, len(self.ids))


def common_length(first: Sequence[int], last: Sequence[int], start: int = 0) -> int:
    """Length of the common prefix of two sequences whose first `start` tokens are equal."""
    length = min(len(first), len(last))
    while start < length and first[start] == last[start]:
        start += 1
    return start
