"""Sequences that share prefixes, as a tree in one row of tokens."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from grpo.models.attention import AttentionLayer
from kernels.attention import PartsAttention
from kernels.blocks import window_mask

SHORTEST_STRETCH = 2
"""Tokens of a shared stretch, at least: for a single one the library's recurrent kernels have no gradient."""


class Node(NamedTuple):
    """Tokens [start, end) of a packed row; the tokens [end, stop) after it are its descendants."""

    start: int
    end: int
    stop: int


@dataclass(frozen=True)
class TokenTree:
    """A packed row in depth-first order: each node attends to its ancestors and, causally, to itself.

    A group is one node for the prompt and a child per completion. A chain of prefixes is a node under a node, and
    several groups side by side are several roots. An `AttentionContext`.
    """

    nodes: tuple[Node, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layer: AttentionLayer) -> Tensor:
        dtype = value.dtype  # under autocast the rotary embedding leaves query and key in fp32
        mask = functools.partial(self.mask, layer=layer, device=query.device)
        return PartsAttention.apply(query.to(dtype), key.to(dtype), value, layer.scaling, list(self.parts), mask)

    @property
    def parts(self) -> Iterator[tuple[slice, slice, bool]]:
        """Queries, the keys they attend to, and whether causally: each node to itself, then its descendants to it."""
        yield from ((slice(start, end), slice(start, end), True) for start, end, _ in self.nodes)
        yield from ((slice(end, stop), slice(start, end), False) for start, end, stop in self.nodes if stop > end)

    def mask(self, queries: slice, keys: slice, layer: AttentionLayer, device: torch.device) -> Tensor | None:
        """Hides the keys beyond the layer's window; None where it hides none."""
        if layer.window is None:
            return None
        return window_mask(self.positions[queries], self.positions[keys], layer.window, device)

    @functools.cached_property
    def parents(self) -> list[Node | None]:
        """The node above each node; None above a root."""
        parents, ancestors = list[Node | None](), list[Node]()
        for node in self.nodes:
            while ancestors and ancestors[-1].stop <= node.start:
                ancestors.pop()
            parents.append(ancestors[-1] if ancestors else None)
            ancestors.append(node)
        return parents

    @functools.cached_property
    def positions(self) -> Tensor:
        """[T]: each token's place in its own sequence."""
        places = [0] * max((node.end for node in self.nodes), default=0)
        for (start, end, _), parent in zip(self.nodes, self.parents, strict=True):
            first = places[parent.end - 1] + 1 if parent else 0
            places[start:end] = range(first, first + end - start)
        return torch.tensor(places)
