"""LoRA (Hu et al. 2021, arXiv 2106.09685): trains low-rank factors beside the linear layers of a frozen model.

A linear layer with the frozen weight W [out, in] and bias b computes

    y = x W^T + b + (alpha / rank) (x A^T) B^T,   A [rank, in],  B [out, rank]

B is initialised to zero, so a fresh adapter changes nothing. With its adapters disabled, the model is its base again.
The reference policy of a KL penalty therefore needs no second copy. `merged_state_dict` returns W + (alpha / rank) B A
under the names of the base. `save_peft` writes only the factors, in the format of the PEFT library
(github.com/huggingface/peft).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from grpo.errors import UserError
from grpo.models.causal_lm import CausalLM, text_config
from grpo.models.fast_layers import FastLinear
from grpo.models.patching import patch
from kernels import fast_linear


class LoRALinear(FastLinear):
    """Patch of a frozen linear layer of any floating type: adds a trained low-rank term with fp32 factors."""

    is_plain_linear = False
    lora_A: nn.Parameter
    """[rank, in]"""
    lora_B: nn.Parameter
    """[out, rank]"""
    rank: int
    alpha: float
    enabled: bool
    """Whether the low-rank term is added. If not, the layer computes what it did before the patch."""

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out] in the type of the frozen layer's output, also under autocast."""
        output = fast_linear(input, self.frozen_weight, self.bias, self.packed)  # type: ignore[arg-type]
        if not self.enabled:
            return output
        # Multiplying in the output's type saves memory: a bf16 model stores no fp32 activations for the backward pass.
        dtype = output.dtype
        low = nn.functional.linear(input.to(dtype), self.lora_A.to(dtype)).flatten(0, -2)
        return torch.addmm(output.flatten(0, -2), low, self.lora_B.to(dtype).T, alpha=self.scaling).view_as(output)

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    @property
    def frozen_weight(self) -> Tensor:
        """[out, in]: the weight without the adapter."""
        return self._parameters["weight"]  # type: ignore[return-value]

    @property
    def weight(self) -> Tensor:
        """[out, in] in the frozen weight's type, with gradients, for modules that use it directly, such as Mamba's."""
        frozen = self.frozen_weight
        if not self.enabled:
            return frozen
        return torch.addmm(frozen, self.lora_B.to(frozen), self.lora_A.to(frozen), alpha=self.scaling)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """[out, in]: the weight of the equivalent plain layer, rounded once to the frozen weight's type."""
        frozen = self.frozen_weight
        with torch.autocast(frozen.device.type, enabled=False):
            return torch.addmm(frozen.float(), self.lora_B.float(), self.lora_A.float(), alpha=self.scaling).to(frozen)


def adapt(linear: FastLinear, rank: int, alpha: float, generator: torch.Generator) -> None:
    """Patches a frozen layer. `generator` is on the CPU, so a seed gives the same factors on every device."""
    weight: Tensor = linear.weight  # type: ignore[assignment]
    outputs, inputs = weight.shape
    first = nn.init.kaiming_uniform_(
        torch.empty(rank, inputs, dtype=torch.float32), a=math.sqrt(5), generator=generator
    )
    adapted: LoRALinear = patch(linear, LoRALinear)
    adapted.rank, adapted.alpha, adapted.enabled = rank, alpha, True
    adapted.lora_A = nn.Parameter(first.to(weight.device))
    adapted.lora_B = nn.Parameter(torch.zeros(outputs, rank, dtype=torch.float32, device=weight.device))


def add_adapters(model: CausalLM, rank: int, alpha: float, seed: int) -> None:
    """Adapts every linear layer in the decoder layers of a prepared model, and freezes all other weights.

    Does not use the global random state. Raises ValueError if the model already has adapters. Raises UserError if it
    has no such layer, or if layers share a weight, since one merged weight cannot hold the terms of several adapters.
    """
    if has_adapters(model):
        raise ValueError("the model already has adapters")
    linears = _layer_linears(model)
    if not linears:
        raise UserError(f"{type(model).__name__} has no nn.Linear in its decoder layers, so there is nothing to adapt")
    if len({id(linear.weight) for linear in linears.values()}) < len(linears):
        raise UserError(f"decoder layers of {type(model).__name__} share weights, so they cannot be adapted separately")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for linear in linears.values():
        adapt(linear, rank, alpha, generator)


def _layer_linears(model: CausalLM) -> dict[str, FastLinear]:
    """The linear layers of the decoder layers, by dotted name, without the head and without other towers."""
    count = text_config(model).num_hidden_layers
    lists = (child for child in model.get_decoder().children() if isinstance(child, nn.ModuleList))
    inside = {id(module) for stack in lists if len(stack) == count for module in stack.modules()}
    modules = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if id(module) in inside and isinstance(module, FastLinear)}


def adapters(model: CausalLM) -> Iterator[tuple[str, LoRALinear]]:
    """Yields the dotted name and the module of every adapted layer, in the model's order."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def has_adapters(model: CausalLM) -> bool:
    """Whether any layer is adapted, even if its adapter is disabled."""
    return any(True for _ in adapters(model))


@contextmanager
def without_adapters(model: CausalLM) -> Iterator[None]:
    """Disables the adapters, so that the model computes as its base. Raises ValueError if the model has none."""
    before = [(module, module.enabled) for _, module in adapters(model)]
    if not before:
        raise ValueError("the model has no adapters, so its base policy cannot be recovered")
    try:
        for module, _ in before:
            module.enabled = False
        yield
    finally:
        for module, enabled in before:
            module.enabled = enabled


def merged_state_dict(model: CausalLM) -> dict[str, Tensor]:
    """The state dict of the equivalent plain model, with the adapters merged. Names, order and types are the base's.

    Adapted weights are new tensors. All others are the model's tensors; tied ones appear under each of their names.
    Disabled adapters are merged too. Without adapters the result equals `model.state_dict()`.
    """
    adapted = dict(adapters(model))
    merged: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        name, _, leaf = key.rpartition(".")
        if name not in adapted or leaf == "bias":
            merged[key] = value
        elif leaf == "weight":
            merged[key] = adapted[name].merged()
    return merged


def save_peft(model: CausalLM, folder: Path, base: str) -> None:
    """Writes the adapters of `model` into `folder` in PEFT's format. `base` is the name of their base checkpoint.

    Raises ValueError if the model has no adapters.
    """
    adapted = dict(adapters(model))
    if not adapted:
        raise ValueError("the model has no adapters to save")
    first = next(iter(adapted.values()))
    config = {
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": first.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": first.rank,
        "target_modules": _target_modules(model),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    factors = {
        f"base_model.model.{name}.{part}.weight": getattr(module, part).detach().float().cpu()
        for name, module in adapted.items()
        for part in ("lora_A", "lora_B")
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(factors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _target_modules(model: CausalLM) -> list[str] | str:
    """The last parts of the adapted layers' names; if other modules share one, a pattern of the full names."""
    names = [name for name, _ in adapters(model)]
    last = {name.rpartition(".")[2] for name in names}
    matches = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in last]
    return sorted(last) if matches == names else "|".join(map(re.escape, names))
