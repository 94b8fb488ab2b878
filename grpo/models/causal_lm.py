"""The few things that this package asks of a `transformers` causal language model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from grpo.models.attention import AttentionContext


class CausalLM(Protocol):
    """A causal language model: decoder layers, then an output head. Every `PreTrainedModel` with a head is one."""

    config: Any
    generation_config: Any

    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def training(self) -> bool: ...
    @property
    def base_model(self) -> Any:
        """The model without its output head."""
        ...

    def get_input_embeddings(self) -> Any: ...
    def get_output_embeddings(self) -> Any: ...
    def get_decoder(self) -> Any: ...
    def set_attn_implementation(self, name: str) -> None: ...
    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def requires_grad_(self, requires_grad: bool = True) -> Any: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def named_modules(self, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Module]]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def state_dict(self, *, keep_vars: bool = False) -> dict[str, Tensor]: ...
    def save_pretrained(self, directory: Any, *, state_dict: Mapping[str, Tensor]) -> None: ...
    def __call__(self, *, input_ids: Tensor, use_cache: bool = False) -> Any: ...


def text_config(model: CausalLM) -> Any:
    """The part of the configuration that describes the decoder; the whole of it in a model of text alone."""
    return model.config.get_text_config(decoder=True)


def layer_types(model: CausalLM) -> list[str]:
    """The type of each layer by the configuration; empty where it names none."""
    return list(getattr(text_config(model), "layer_types", None) or ())


def is_recurrent(model: CausalLM) -> bool:
    """Whether some layers carry a state from token to token, so that two sequences cannot share one plain row."""
    return "linear_attention" in layer_types(model)


def hidden_states(model: CausalLM, ids: Tensor, positions: Tensor, context: AttentionContext | None) -> Tensor:
    """ids and positions [B, T] -> hidden states [B * T, H] before the output head. With a context B is 1."""
    options = {} if context is None else {"attention_context": context}
    output = model.base_model(input_ids=ids, position_ids=positions, use_cache=False, **options)
    states: Tensor = output.last_hidden_state
    return states.flatten(0, 1)


def output_logits(model: CausalLM, hidden: Tensor) -> Tensor:
    """hidden [T, H] -> the model's logits [T, V] in fp32, scale and soft cap included."""
    logits: Tensor = model.get_output_embeddings()(hidden).float()
    scale, softcap = scale_and_softcap(model)
    logits = logits if scale == 1.0 else logits * scale
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def scale_and_softcap(model: CausalLM) -> tuple[float, float | None]:
    """The factor of a model's logits, and the bound of the tanh that they pass through next, None without.

    Cohere multiplies logits by a scale, Granite divides them by one, and Gemma 2 caps them.
    """
    config = text_config(model)
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return scale, getattr(config, "final_logit_softcapping", None)
