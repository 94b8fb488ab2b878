"""LoRA (Hu et al. 2021, arXiv 2106.09685): the model stays as it is, and small factors beside its layers are trained.

A linear layer with the frozen weight W [out, in] and bias b computes

    y = x W^T + b + (alpha / rank) (x A^T) B^T,   A [rank, in],  B [out, rank]

B begins at zero, so that a fresh adapter changes nothing. Without its adapters the model is the base it started from:
the reference of a KL penalty needs no second copy. `merged_state_dict` writes W + (alpha / rank) B A under the base's
names, `save_peft` the factors alone for the PEFT library (github.com/huggingface/peft) and the servers that read it.
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
from grpo.models.causal_lm import CausalLM
from grpo.models.fast_layers import FastLinear
from grpo.models.patching import patch
from kernels import fast_linear


class LoRALinear(FastLinear):
    """Patch of a frozen linear layer of any floating type: adds a trained difference of low rank in fp32."""

    is_plain_linear = False
    lora_A: nn.Parameter
    """[rank, in]"""
    lora_B: nn.Parameter
    """[out, rank]"""
    rank: int
    alpha: float
    enabled: bool
    """Whether the difference counts: without it the layer is the one it was."""

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out] in the type of the frozen layer's output, under autocast too."""
        output = fast_linear(input, self.frozen_weight, self.bias, self.packed)  # type: ignore[arg-type]
        if not self.enabled:
            return output
        # The factors are multiplied in the output's type: a bf16 model keeps no fp32 activations for the backward pass.
        dtype = output.dtype
        low = nn.functional.linear(input.to(dtype), self.lora_A.to(dtype)).flatten(0, -2)
        return torch.addmm(output.flatten(0, -2), low, self.lora_B.to(dtype).T, alpha=self.scaling).view_as(output)

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    @property
    def frozen_weight(self) -> Tensor:
        """[out, in]: the weight that the layer had before."""
        return self._parameters["weight"]  # type: ignore[return-value]

    @property
    def weight(self) -> Tensor:
        """[out, in] in the frozen weight's type, with gradients: some layers multiply by it themselves (Mamba's)."""
        frozen = self.frozen_weight
        if not self.enabled:
            return frozen
        return torch.addmm(frozen, self.lora_B.to(frozen), self.lora_A.to(frozen), alpha=self.scaling)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """[out, in]: the weight of the plain layer that computes the same, rounded once to the frozen weight's type."""
        frozen = self.frozen_weight
        with torch.autocast(frozen.device.type, enabled=False):
            return torch.addmm(frozen.float(), self.lora_B.float(), self.lora_A.float(), alpha=self.scaling).to(frozen)


def adapt(linear: FastLinear, rank: int, alpha: float, generator: torch.Generator) -> None:
    """Patches a frozen layer. `generator` is on the CPU: the same seed gives the same factors on every device."""
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
    """Adapts every linear layer in the decoder layers of a prepared model, and freezes everything else.

    Global random state is left alone. Raises ValueError for a model that has adapters already, UserError for one that
    has no such layer or whose layers share weights (merged, they would be one weight again).
    """
    if has_adapters(model):
        raise ValueError("the model has adapters already")
    linears = _layer_linears(model)
    if not linears:
        raise UserError(f"{type(model).__name__} has no nn.Linear in its decoder layers: nothing to adapt")
    if len({id(linear.weight) for linear in linears.values()}) < len(linears):
        raise UserError(f"decoder layers of {type(model).__name__} share weights: they cannot be adapted one by one")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for linear in linears.values():
        adapt(linear, rank, alpha, generator)


def _layer_linears(model: CausalLM) -> dict[str, FastLinear]:
    """The linear layers inside the stack of decoder layers, by dotted name; no head, no other towers."""
    count = model.config.get_text_config(decoder=True).num_hidden_layers
    lists = (child for child in model.get_decoder().children() if isinstance(child, nn.ModuleList))
    inside = {id(module) for stack in lists if len(stack) == count for module in stack.modules()}
    modules = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if id(module) in inside and isinstance(module, FastLinear)}


def adapters(model: CausalLM) -> Iterator[tuple[str, LoRALinear]]:
    """Dotted name, as it was before, and module of every adapted layer, in the model's order."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def has_adapters(model: CausalLM) -> bool:
    """Whether any layer is adapted, switched off or not."""
    return any(True for _ in adapters(model))


@contextmanager
def without_adapters(model: CausalLM) -> Iterator[None]:
    """Inside, the model computes as its base. Raises ValueError for a model without adapters: its base is gone."""
    before = [(module, module.enabled) for _, module in adapters(model)]
    if not before:
        raise ValueError("the model has no adapters: what it was before training cannot be had from it")
    try:
        for module, _ in before:
            module.enabled = False
        yield
    finally:
        for module, enabled in before:
            module.enabled = enabled


def merged_state_dict(model: CausalLM) -> dict[str, Tensor]:
    """The state dict of the plain model that does the same: the base's names, order and types, adapters merged.

    Adapted weights are new tensors, the others (tied ones under each of their names) the model's own. The adapters'
    `enabled` has no say. Without adapters it is `model.state_dict()`.
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
    """Writes the adapters of `model` into `folder` for PEFT; `base` says which checkpoint they belong to.

    Raises ValueError for a model without adapters.
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
    """The last parts of the adapted layers' names; a pattern of whole names where another module is called alike."""
    names = [name for name, _ in adapters(model)]
    last = {name.rpartition(".")[2] for name in names}
    alike = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in last]
    return sorted(last) if alike == names else "|".join(map(re.escape, names))
