"""Recurrent layers in a tree of tokens: a state branches where the tree does.

A layer that carries a state from token to token (gated linear attention, arXiv 2412.06464) would carry it from one
sibling of a packed row into the next. Here it goes through the row node by node: what the prompt left behind is where
each completion begins. So hybrid models (Qwen3.5) share prompts in training as well.
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
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from grpo.models.attention import Node, TokenTree, is_recurrent
from grpo.models.patching import Swapped, swap, swap_back
from kernels import agree

State = dict[int, tuple[Tensor, Tensor]]
"""Per recurrent layer the convolution's window and the recurrent state, [1, ...] each; empty at the start."""
SHORTEST = 2
"""Tokens of a pass, at least: for single ones the library has kernels without gradients."""


class States(DynamicCache):
    """The library's cache with the states of some rows; differentiable. Keys and values pass through."""

    def __init__(self, config: PreTrainedConfig, rows: Sequence[State]) -> None:
        super().__init__(config=config)
        for layer in rows[0]:
            own = self.layers[layer]
            conv, recurrent = (torch.cat([row[layer][part] for row in rows]) for part in (0, 1))
            # Of no rows, which says what there is and makes no room that is not used.
            own.lazy_initialization(conv_states=conv[:0], recurrent_states=recurrent[:0])
            own.conv_states[0], own.recurrent_states[0], own.has_previous_state[0] = conv, recurrent, True

    def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return key, value

    def update_recurrent_state(self, states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Tensor:
        # The library writes over the state that the pass began with, which its backward pass reads.
        self.layers[layer_idx].recurrent_states[0] = states
        return states

    def kept(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The recurrent layers' numbers and states."""
        for place, own in enumerate(self.layers):
            if getattr(own, "recurrent_states", {}).get(0) is not None:
                yield place, own.conv_states[0], own.recurrent_states[0]

    def split(self, rows: slice | list[int] = slice(None)) -> list[State]:
        """The states of all rows one by one, or copies of some rows'."""
        layers = {
            place: zip(conv[rows].split(1), state[rows].split(1), strict=True) for place, conv, state in self.kept()
        }
        return [dict(zip(layers, states, strict=True)) for states in zip(*layers.values(), strict=True)]


class Branching(Swapped):
    """A recurrent layer's mixer of tokens that follows the tree of a packed row; made by `use_branches`."""

    states_of: PreTrainedConfig
    """The model's configuration, from which the library makes a cache."""
    followed: bool
    """Whether the model hands a tree on to it."""

    def forward(self, hidden_states: Tensor, *given: Any, attention_plan: Any = None, **named: Any) -> Tensor:
        """hidden_states [1, T, H] -> [1, T, H]."""
        if not isinstance(attention_plan, TokenTree):
            named |= {} if attention_plan is None else {"attention_plan": attention_plan}
            output: Tensor = super().forward(hidden_states, *given, **named)
            return output
        self.followed = True
        parts, leaves, after = dict[int, Tensor](), list[_Leaf](), dict[Node | None, State]({None: {}})
        for node, parent in zip(attention_plan.nodes, attention_plan.parents, strict=True):
            if node.end == node.stop:
                leaves.append(_Leaf(node.start, node.end, after[parent]))
            else:
                parts[node.start], states = self._run(hidden_states[:, node.start : node.end], [after[parent]])
                (after[node],) = states.split()
        # Leaves of similar length are one batch, padded at the end, which nothing follows.
        for _, group in groupby(sorted(leaves, key=_Leaf.kind), _Leaf.kind):
            alike = list(group)
            rows = pad_sequence([hidden_states[0, leaf.start : leaf.end] for leaf in alike], batch_first=True)
            short = max(0, SHORTEST - rows.shape[1])
            outputs, _ = self._run(pad(rows, (0, 0, 0, short)), [leaf.before for leaf in alike])
            parts |= {leaf.start: row[None, : leaf.end - leaf.start] for leaf, row in zip(alike, outputs, strict=True)}
        return torch.cat([parts[start] for start in sorted(parts)], 1)

    def goes_on(self, hidden: Tensor) -> bool:
        """Whether hidden [1, T, H] in two passes, the second after the first one's state, becomes what it does in one.

        Some layers of the library begin anew with every pass of more than one token.
        """
        half = hidden.shape[1] // 2
        first, states = self._run(hidden[:, :half], [{}])
        second, _ = self._run(hidden[:, half:], states.split())
        return agree(torch.cat([first, second], 1), self._run(hidden, [{}])[0], hidden.dtype)

    def _run(self, hidden: Tensor, before: Sequence[State]) -> tuple[Tensor, States]:
        """hidden [N, L, H] after the N states -> [N, L, H] and the states then."""
        states = States(self.states_of, before)
        return super().forward(hidden_states=hidden, cache_params=states), states


class _Leaf(NamedTuple):
    start: int
    end: int
    before: State

    def kind(self) -> tuple[bool, int]:
        return bool(self.before), (self.end - self.start).bit_length()


def use_branches(model: PreTrainedModel) -> list[Branching]:
    """Lets the recurrent mixers of a model that take the library's cache follow trees: these mixers."""
    mixers = [module for module in model.modules() if _takes_states(type(module))] if is_recurrent(model) else []
    for mixer in mixers:
        swap(mixer, Branching)
        mixer.states_of, mixer.followed = model.config, False
    return mixers


def drop_branches(model: PreTrainedModel) -> None:
    """Undoes `use_branches`."""
    for module in model.modules():
        if isinstance(module, Branching):
            swap_back(module)


def shares_prefixes(model: PreTrainedModel) -> bool:
    """Whether siblings can stand in one row (`grpo.models.compatibility` has asked): of recurrent models those that branch."""
    return not is_recurrent(model) or any(isinstance(module, Branching) for module in model.modules())


def _takes_states(kind: Any) -> bool:
    return {"hidden_states", "cache_params"} <= inspect.signature(kind.forward).parameters.keys()
