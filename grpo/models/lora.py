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
from transformers import PreTrainedModel

from grpo.cli.main import UserError


class LoRALinear(nn.Module):
    """A frozen `nn.Linear` of any floating type with a trained difference of low rank in fp32."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> None:
        """`generator` lives on the CPU: the same seed gives the same factors on every device."""
        super().__init__()
        self.base = base.requires_grad_(False)
        first = nn.init.kaiming_uniform_(
            torch.empty(rank, base.in_features, dtype=torch.float32), a=math.sqrt(5), generator=generator
        )
        device = base.weight.device
        self.lora_A = nn.Parameter(first.to(device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=device))
        self.rank, self.alpha, self.scaling = rank, alpha, alpha / rank
        self.enabled = True

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out] in the type that the base answers in, under autocast too."""
        output: Tensor = self.base(input)
        if not self.enabled:
            return output
        # The factors are multiplied in the base's type: a bf16 model keeps no fp32 activations for the backward pass.
        dtype = output.dtype
        low = nn.functional.linear(input.to(dtype), self.lora_A.to(dtype)).flatten(0, -2)
        return torch.addmm(output.flatten(0, -2), low, self.lora_B.to(dtype).T, alpha=self.scaling).view_as(output)

    @property
    def weight(self) -> Tensor:
        """[out, in] in the base's type, with gradients: some layers multiply by it themselves (Mamba's)."""
        weight = self.base.weight
        if not self.enabled:
            return weight
        return torch.addmm(weight, self.lora_B.to(weight), self.lora_A.to(weight), alpha=self.scaling)

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    @torch.no_grad()
    def merged(self) -> Tensor:
        """[out, in]: the weight of the plain layer that does the same, rounded once to the base's type."""
        weight = self.base.weight
        with torch.autocast(weight.device.type, enabled=False):
            return torch.addmm(weight.float(), self.lora_B.float(), self.lora_A.float(), alpha=self.scaling).to(weight)


def add_adapters(model: PreTrainedModel, rank: int, alpha: float, seed: int) -> None:
    """Puts a LoRALinear around every nn.Linear of the decoder layers and freezes everything else, in place.

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
    for name, linear in linears.items():
        model.set_submodule(name, LoRALinear(linear, rank, alpha, generator))


def _layer_linears(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """By dotted name. The head, what lies around the stack of layers, and other towers are not in it."""
    count = model.config.get_text_config(decoder=True).num_hidden_layers
    lists = (child for child in model.get_decoder().children() if isinstance(child, nn.ModuleList))
    inside = {id(module) for stack in lists if len(stack) == count for module in stack.modules()}
    modules = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if id(module) in inside and isinstance(module, nn.Linear)}


def adapters(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Dotted name, as it was before, and module of every adapted layer, in the model's order."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def has_adapters(model: nn.Module) -> bool:
    """Whether any layer is adapted, switched off or not."""
    return any(True for _ in adapters(model))


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
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


def merged_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the plain model that does the same: the base's names, order and types, adapters merged.

    Adapted weights are new tensors, the others (tied ones under each of their names) the model's own. The adapters'
    `enabled` has no say. Without adapters it is `model.state_dict()`.
    """
    adapted = dict(adapters(model))
    merged: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        owner, _, leaf = key.rpartition(".")
        name = owner.removesuffix(".base")
        if owner in adapted:
            continue  # one of the factors
        if name in adapted:
            merged[f"{name}.{leaf}"] = adapted[name].merged() if leaf == "weight" else value
        else:
            merged[key] = value
    return merged


def save_peft(model: nn.Module, folder: Path, base: str) -> None:
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


def _target_modules(model: nn.Module) -> list[str] | str:
    """The last parts of the adapted layers' names; a pattern of whole names where another module is called alike."""
    names = [name for name, _ in adapters(model)]
    last = {name.rpartition(".")[2] for name in names}
    alike = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in last]
    return sorted(last) if alike == names else "|".join(map(re.escape, names))
