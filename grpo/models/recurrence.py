"""Recurrent layers in a tree of tokens: a state branches where the tree branches.

A layer that carries a state from token to token (gated linear attention, arXiv 2412.06464) would carry it from one
sibling of a packed row into the next. Here it goes through the row node by node, and every completion starts from the
state that the prompt left. So hybrid models (Qwen3.5) share prompts in training as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedConfig

from grpo.models.causal_lm import CausalLM, is_recurrent
from grpo.models.patching import Patched, patch, unpatch
from grpo.models.token_tree import SHORTEST_STRETCH, Node, TokenTree
from kernels import agree

State = dict[int, tuple[Tensor, Tensor]]
"""Per recurrent layer the convolution's window and the recurrent state, [1, ...] each; empty at the start."""


class States(DynamicCache):
    """The library's cache with the states of N sequences; differentiable. Keys and values pass through unstored."""

    def __init__(self, config: PreTrainedConfig, states: Sequence[State]) -> None:
        super().__init__(config=config)
        for number in states[0]:
            layer = self.layers[number]
            conv, recurrent = (torch.cat([state[number][part] for state in states]) for part in (0, 1))
            # Initialise with zero rows: sets dtype and shape without allocating.
            layer.lazy_initialization(conv_states=conv[:0], recurrent_states=recurrent[:0])
            layer.conv_states[0], layer.recurrent_states[0], layer.has_previous_state[0] = conv, recurrent, True

    def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return key, value

    def update_recurrent_state(self, states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Tensor:
        # The library overwrites the state that the pass began with, but the backward pass reads it.
        self.layers[layer_idx].recurrent_states[0] = states
        return states

    def by_layer(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Number, convolution window and recurrent state of each recurrent layer."""
        for number, layer in enumerate(self.layers):
            if getattr(layer, "recurrent_states", {}).get(0) is not None:
                yield number, layer.conv_states[0], layer.recurrent_states[0]

    def split(self, rows: slice | list[int] = slice(None)) -> list[State]:
        """The states of all sequences one by one, or copies of those at `rows`."""
        layers = {
            number: zip(conv[rows].split(1), state[rows].split(1), strict=True)
            for number, conv, state in self.by_layer()
        }
        return [dict(zip(layers, states, strict=True)) for states in zip(*layers.values(), strict=True)]


class BranchingMixer(Patched):
    """Patch of a recurrent layer's token mixer: follows the tree of a packed row."""

    model_config: PreTrainedConfig
    """The model's configuration, from which the library makes a cache."""
    received_tree: bool
    """Whether the model has handed a tree on to this mixer."""

    def forward(self, hidden_states: Tensor, *arguments: Any, attention_context: Any = None, **options: Any) -> Tensor:
        """hidden_states [1, T, H] -> [1, T, H]."""
        if not isinstance(attention_context, TokenTree):
            options |= {} if attention_context is None else {"attention_context": attention_context}
            output: Tensor = super().forward(hidden_states, *arguments, **options)
            return output
        self.received_tree = True
        parts, leaves, after = dict[int, Tensor](), list[_Leaf](), dict[Node | None, State]({None: {}})
        for node, parent in zip(attention_context.nodes, attention_context.parents, strict=True):
            if node.end == node.stop:
                leaves.append(_Leaf(node.start, node.end, after[parent]))
            else:
                parts[node.start], states = self._run(hidden_states[:, node.start : node.end], [after[parent]])
                (after[node],) = states.split()
        # Leaves of similar length are one batch, padded at the end, where no token follows.
        for _, group in groupby(sorted(leaves, key=_Leaf.kind), _Leaf.kind):
            batch = list(group)
            rows = pad_sequence([hidden_states[0, leaf.start : leaf.end] for leaf in batch], batch_first=True)
            short = max(0, SHORTEST_STRETCH - rows.shape[1])
            outputs, _ = self._run(pad(rows, (0, 0, 0, short)), [leaf.before for leaf in batch])
            parts |= {leaf.start: row[None, : leaf.end - leaf.start] for leaf, row in zip(batch, outputs, strict=True)}
        return torch.cat([parts[start] for start in sorted(parts)], 1)

    def continues(self, hidden: Tensor) -> bool:
        """Whether hidden [1, T, H] in two passes, the second from the first one's state, gives the output of one pass.

        Some layers of the library start from scratch in every pass of more than one token.
        """
        half = hidden.shape[1] // 2
        first, states = self._run(hidden[:, :half], [{}])
        second, _ = self._run(hidden[:, half:], states.split())
        return agree(torch.cat([first, second], 1), self._run(hidden, [{}])[0], hidden.dtype)

    def _run(self, hidden: Tensor, before: Sequence[State]) -> tuple[Tensor, States]:
        """hidden [N, L, H] after the N states `before` -> [N, L, H] and the states after it."""
        states = States(self.model_config, before)
        return super().forward(hidden_states=hidden, cache_params=states), states


class _Leaf(NamedTuple):
    start: int
    end: int
    before: State

    def kind(self) -> tuple[bool, int]:
        return bool(self.before), (self.end - self.start).bit_length()


def patch_mixers(model: CausalLM) -> list[BranchingMixer]:
    """Patches the recurrent mixers of a model that take the library's cache, and returns them."""
    mixers = [module for module in model.modules() if _takes_states(type(module))] if is_recurrent(model) else []
    for mixer in mixers:
        branching: BranchingMixer = patch(mixer, BranchingMixer)
        branching.model_config, branching.received_tree = model.config, False
    return mixers  # type: ignore[return-value]  # the same modules, patched


def unpatch_mixers(model: CausalLM) -> None:
    """Undoes `patch_mixers`."""
    for module in model.modules():
        if isinstance(module, BranchingMixer):
            unpatch(module)


def shares_prefixes(model: CausalLM) -> bool:
    """Whether siblings can share one row of a prepared model: recurrent models only if their mixers branch."""
    return not is_recurrent(model) or any(isinstance(module, BranchingMixer) for module in model.modules())


def _takes_states(kind: Any) -> bool:
    return {"hidden_states", "cache_params"} <= inspect.signature(kind.forward).parameters.keys()
