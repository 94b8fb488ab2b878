"""Fresh adapters change nothing, only they are trained, and merging, switching off and export are exact."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from grpo.engine.engine import Engine
from grpo.engine.hybrid_engine import HybridEngine
from grpo.errors import UserError
from grpo.logprobs import token_logprobs
from grpo.models.fast_layers import patch_linears
from grpo.models.lora import (
    LoRALinear,
    adapt,
    adapters,
    add_adapters,
    has_adapters,
    merged_state_dict,
    save_peft,
    without_adapters,
)
from grpo.packing import pack
from grpo.types import Sampling
from tests.support.causal_models import MODELS, VOCABULARY, library_hybrid, library_model, prepared

RANK, ALPHA = 3, 7.5
HYBRID = "qwen3.5, gated linear layers"
KINDS = (*MODELS, HYBRID)
TIED, UNTIED = "qwen3, grouped queries, tied head", "qwen3, as many kv heads, untied"
IDS = torch.arange(24).view(2, 12) * 7 % VOCABULARY
SEQUENCES = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 8], [1, 2, 3, 4, 7, 7, 7]]
TOLERANCE = dict.fromkeys(MODELS, 1e-5) | {HYBRID: 2e-4}
"""For `gap`. A recurrence accumulates the rounding of its inputs."""
MASKS = [[0, 0, 0, *[1] * (len(sequence) - 3)] for sequence in SEQUENCES]


def library(kind: str = TIED) -> PreTrainedModel:
    return library_hybrid() if kind == HYBRID else library_model(kind)


def plain_model(kind: str = TIED, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return prepared(library(kind).to(dtype))


def adapted(model: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
    """The same model with fresh adapters."""
    add_adapters(model, RANK, ALPHA, seed)
    return model


def fresh_model(kind: str = TIED, seed: int = 0) -> PreTrainedModel:
    return adapted(plain_model(kind), seed)


def loss(model: PreTrainedModel) -> Tensor:
    values, entropy = token_logprobs(model, pack(SEQUENCES, MASKS), Sampling())
    return (values * torch.linspace(-1, 1, len(values))).sum() + entropy.mean()


@functools.cache
def trained_state(kind: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The state dict after a few large steps."""
    model = adapted(plain_model(kind, dtype))
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], 0.02)
    for _ in range(3):
        loss(model).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def trained_model(kind: str = TIED, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    model = adapted(plain_model(kind, dtype), seed=1)
    model.load_state_dict(trained_state(kind, dtype))
    return model


def merged_model(model: PreTrainedModel, kind: str = TIED) -> PreTrainedModel:
    """A model without adapters and with the merged weights."""
    merged = plain_model(kind, model.dtype)
    merged.load_state_dict(merged_state_dict(model))
    return merged


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(input_ids=IDS, use_cache=False).logits


def gap(a: Tensor, b: Tensor) -> float:
    """Largest difference, by the spread of `b`."""
    return float(((a - b).abs().max() / b.std()).detach())


def mean_gap(a: Tensor, b: Tensor) -> float:
    """`gap` for bf16, by the root mean square: how far single logits are apart depends on the processor."""
    return float((a.float() - b.float()).square().mean().sqrt() / b.float().std())


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_adapters_change_nothing_and_trained_ones_do(kind):
    expected = logits(plain_model(kind))
    assert torch.equal(logits(fresh_model(kind)), expected)
    trained = trained_model(kind)
    assert gap(logits(trained), expected) > 0.05
    with without_adapters(trained):
        assert torch.equal(logits(trained), expected)
    assert gap(logits(trained), expected) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_every_projection_of_the_layers_is_adapted_and_nothing_else(kind):
    linears = {name for name, module in plain_model(kind).named_modules() if isinstance(module, nn.Linear)}
    assert {name for name, _ in adapters(fresh_model(kind))} == linears - {"lm_head"} != set()


def test_layers_beside_the_stack_are_left_alone():
    model = adapted(prepared(with_a_namesake()))
    assert [name for name, _ in adapters(model)] == [name for name, _ in adapters(fresh_model())]


def test_linear_attention_is_adapted_too():
    parents = {name.split(".")[-2] for name, _ in adapters(fresh_model(HYBRID))}
    assert parents == {"linear_attn", "self_attn", "mlp"}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_factors_are_trained_and_by_the_gradient_of_the_merged_weight(kind):
    model = trained_model(kind)
    merged = merged_model(model, kind)
    loss(model).backward()
    loss(merged).backward()
    factors = {f"{name}.{part}" for name, _ in adapters(model) for part in ("lora_A", "lora_B")}
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == factors
    for name, module in adapters(model):
        by_weight = merged.get_submodule(name).weight.grad
        assert by_weight.norm() > 0
        for gradient, expected in (
            (module.lora_A.grad, ALPHA / RANK * module.lora_B.T @ by_weight),
            (module.lora_B.grad, ALPHA / RANK * by_weight @ module.lora_A.T),
        ):
            assert (gradient - expected).norm() < 1e-4 * expected.norm() + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_compute_what_the_adapted_model_computes(kind):
    model = trained_model(kind)
    expected = logits(model)
    assert gap(logits(merged_model(model, kind)), expected) < TOLERANCE[kind]
    for _, module in adapters(model):
        module.alpha *= 1.1
    assert gap(logits(merged_model(model, kind)), expected) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_merged_state_has_the_names_order_types_and_ties_of_the_base(kind):
    plain, merged = plain_model(kind).state_dict(), merged_state_dict(trained_model(kind))
    assert [(name, value.shape, value.dtype) for name, value in plain.items()] == [
        (name, value.shape, value.dtype) for name, value in merged.items()
    ]
    changed = {name for name in plain if not torch.equal(plain[name], merged[name])}
    assert changed == {f"{name}.weight" for name, _ in adapters(fresh_model(kind))}
    tied = merged["lm_head.weight"].data_ptr() == merged["model.embed_tokens.weight"].data_ptr()
    assert tied == (kind != UNTIED)


def test_merged_state_of_a_plain_model_is_its_own():
    model = plain_model()
    assert not has_adapters(model)
    assert has_adapters(fresh_model())
    merged = merged_state_dict(model)
    assert all(torch.equal(merged[name], value) for name, value in model.state_dict().items())


def test_merging_is_in_full_precision_under_autocast():
    model = trained_model()
    expected = merged_state_dict(model)
    with torch.autocast("cpu", torch.bfloat16):
        merged = merged_state_dict(model)
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", [TIED, UNTIED, HYBRID])
def test_merged_state_is_written_as_an_ordinary_checkpoint(kind, tmp_path):
    model = trained_model(kind)
    model.save_pretrained(tmp_path, state_dict=merged_state_dict(model))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert not has_adapters(loaded)
    assert gap(logits(loaded), logits(model)) < TOLERANCE[kind]


def greedy(model: PreTrainedModel, kind: str) -> list[list[int]]:
    """Two completions after a shared prefix."""
    engine = (HybridEngine if kind == HYBRID else Engine)(model, 2, 64)
    prefix = engine.prefix([1, 2, 3, 4, 5])
    for slot in range(2):
        engine.open(slot, prefix)
    first = engine.extend({0: [6, 7], 1: [8, 9]})
    completions = [[int(first[slot].argmax())] for slot in range(2)]
    for _ in range(8):
        for ids, logits in zip(completions, engine.decode([0, 1], [ids[-1] for ids in completions]), strict=True):
            ids.append(int(logits.argmax()))
    return completions


@pytest.mark.parametrize("kind", [TIED, HYBRID])
def test_engines_and_packed_rows_see_the_adapters(kind):
    model = trained_model(kind)
    merged = merged_model(model, kind)
    assert greedy(model, kind) == greedy(merged, kind) != greedy(plain_model(kind), kind)
    assert loss(model).item() == pytest.approx(loss(merged).item(), rel=1e-5)
    with without_adapters(model):
        assert greedy(model, kind) == greedy(plain_model(kind), kind)


def test_the_base_is_back_only_for_as_long_as_asked():
    model = trained_model()
    expected = logits(model)
    with pytest.raises(KeyError), without_adapters(model):
        raise KeyError
    assert torch.equal(logits(model), expected)
    with without_adapters(model):
        with without_adapters(model):
            pass
        assert gap(logits(model), expected) > 0.05
    with pytest.raises(ValueError, match="no adapters"), without_adapters(plain_model()):
        pass


def layer(base: nn.Linear, rank: int, alpha: float, generator: torch.Generator) -> LoRALinear:
    """An adapted copy of `base`, with a large second factor."""
    model = nn.Sequential(copy.deepcopy(base)).requires_grad_(False)
    patch_linears(model)
    adapt(model[0], rank, alpha, generator)
    nn.init.normal_(model[0].lora_B, generator=generator)
    return model[0]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_answers_in_its_frozen_type_and_keeps_fp32_factors(dtype, autocast):
    """A biased layer with a difference as large as its frozen weight."""
    generator = torch.Generator().manual_seed(1)
    base = nn.Linear(64, 48)
    for weight in base.parameters():
        nn.init.normal_(weight, std=1 / 8, generator=generator)
    module = layer(base.to(dtype), 4, 8.0, generator)
    input = torch.randn(2, 5, 64, generator=generator).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output, frozen_output = module(input), base(input)
    assert output.dtype == frozen_output.dtype == (torch.bfloat16 if autocast else dtype)
    exact = input.double() @ module.merged().double().T + base.bias.double()
    tolerance = 1e-5 if output.dtype == torch.float32 else 2e-2
    assert gap(output.double(), exact) < tolerance < 0.1 < gap(frozen_output.double(), exact)
    output.float().sum().backward()
    assert module.lora_A.grad.dtype == module.lora_B.grad.dtype == torch.float32
    assert input.grad.dtype == dtype
    assert module.frozen_weight.grad is None and module.bias.grad is None


def test_a_layer_that_multiplies_by_the_weight_itself_sees_the_adapter():
    base = nn.Linear(6, 4)
    module = layer(base, 2, 3.0, torch.Generator().manual_seed(0))
    inputs, factors = torch.randn(5, 6), [module.lora_A, module.lora_B]
    outputs = [module(inputs), nn.functional.linear(inputs, module.weight, module.bias)]
    torch.testing.assert_close(outputs[1], outputs[0])
    gradients = [torch.autograd.grad(output.square().sum(), factors) for output in outputs]
    torch.testing.assert_close(gradients[1], gradients[0])
    module.enabled = False
    assert module.weight is module.frozen_weight and torch.equal(module.weight, base.weight)
    torch.testing.assert_close(module(inputs), base(inputs))


def test_a_bf16_model_learns_in_fp32_factors():
    model = trained_model(dtype=torch.bfloat16)
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    assert {value.dtype for value in merged_state_dict(model).values()} == {torch.bfloat16}
    trained, merged = logits(model), logits(merged_model(model))
    with without_adapters(model):
        base = logits(model)
    assert trained.dtype == base.dtype == torch.bfloat16
    assert torch.equal(base, logits(plain_model(dtype=torch.bfloat16)))
    assert mean_gap(trained, merged) < 0.03 < 0.3 < mean_gap(trained, base)
    for _, module in adapters(model):
        module.alpha *= 1.1
    assert mean_gap(trained, logits(merged_model(model))) > 0.03


def test_the_seed_alone_decides_and_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    first, second, other = (dict(adapters(fresh_model(seed=seed))) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    drawn = [module.lora_A for module in first.values()]
    for name, module in first.items():
        assert torch.equal(module.lora_A, second[name].lora_A)
        assert not torch.equal(module.lora_A, other[name].lora_A)
        assert not module.lora_B.any()
        inputs = module.in_features
        assert 0.7 * inputs**-0.5 < module.lora_A.abs().max() <= inputs**-0.5
        assert module.lora_A.std().item() == pytest.approx((3 * inputs) ** -0.5, rel=0.25)
    assert not torch.equal(drawn[0], drawn[1])


def shared_layers() -> PreTrainedModel:
    model = library_model()
    model.model.layers[1].mlp = model.model.layers[0].mlp
    return prepared(model)


def without_linears() -> PreTrainedModel:
    return prepared(GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2)).eval())


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (fresh_model, ValueError, "already has adapters"),
        (without_linears, UserError, "no nn.Linear"),
        (shared_layers, UserError, "share weights"),
    ],
)
def test_models_that_cannot_be_adapted_are_refused_untouched(
    make: Callable[[], PreTrainedModel], error: type[Exception], reason: str
):
    model = make()
    before = [(name, weight.requires_grad) for name, weight in model.named_parameters()]
    with pytest.raises(error, match=reason):
        add_adapters(model, RANK, ALPHA, 0)
    assert [(name, weight.requires_grad) for name, weight in model.named_parameters()] == before


def with_a_namesake() -> PreTrainedModel:
    """The library's model with layers outside the stack that have the names of those in it."""
    model = library()
    layers = [nn.ModuleDict({"q_proj": nn.Linear(4, 4)}) for _ in range(3)]
    model.tower = nn.ModuleDict({"layers": nn.ModuleList(layers[:2])})
    model.model.side = nn.ModuleList(layers[2:])
    return model


EXPORTED: dict[str, Callable[[], PreTrainedModel]] = {
    "a namesake": with_a_namesake,
    **{kind: functools.partial(library, kind) for kind in (TIED, UNTIED, HYBRID)},
}


def exported(make: Callable[[], PreTrainedModel], folder: Path) -> Tensor:
    """Writes adapters that change much into `folder`; returns the adapted model's logits."""
    model = adapted(prepared(make()))
    generator = torch.Generator().manual_seed(0)
    for _, module in adapters(model):
        nn.init.normal_(module.lora_B, std=0.1, generator=generator)
    save_peft(model, folder, "some/base")
    return logits(model)


def adapted_as_read(plain: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """`plain` with an exported adapter merged in, as PEFT's documentation describes the files."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    factors = load_file(folder / "adapter_model.safetensors")
    targets = config["target_modules"]
    for name, module in plain.named_modules():
        if re.fullmatch(targets, name) if isinstance(targets, str) else name.split(".")[-1] in targets:
            a, b = (factors.pop(f"base_model.model.{name}.lora_{part}.weight") for part in "AB")
            module.weight.data += config["lora_alpha"] / config["r"] * b @ a
    assert not factors
    return plain


@pytest.mark.parametrize("case", EXPORTED)
def test_exported_files_hold_the_adapters(case, tmp_path):
    make, folder = EXPORTED[case], tmp_path / "new" / "adapter"
    expected = exported(make, folder)
    assert gap(logits(adapted_as_read(make(), folder)), expected) < TOLERANCE.get(case, 1e-5)
    assert gap(logits(make()), expected) > 0.05


@pytest.mark.parametrize("case", EXPORTED)
def test_peft_reads_the_export(case, tmp_path):
    peft = pytest.importorskip("peft")
    make = EXPORTED[case]
    expected = exported(make, tmp_path)
    loaded = peft.PeftModel.from_pretrained(make(), tmp_path)
    assert gap(logits(loaded), expected) < TOLERANCE.get(case, 1e-5)
    with loaded.disable_adapter():
        assert gap(logits(loaded), expected) > 0.05
    names = {name for name, module in loaded.named_modules() if isinstance(module, peft.tuners.lora.LoraLayer)}
    assert names == {f"base_model.model.{name}" for name, _ in adapters(adapted(prepared(make())))}


def test_export_names_the_modules_as_briefly_as_is_exact(tmp_path):
    exported(library, tmp_path / "brief")
    exported(with_a_namesake, tmp_path / "exact")
    brief, exact = (json.loads((tmp_path / name / "adapter_config.json").read_text()) for name in ("brief", "exact"))
    assert brief["target_modules"] == [f"{part}_proj" for part in ("down", "gate", "k", "o", "q", "up", "v")]
    matched = [name for name, _ in with_a_namesake().named_modules() if re.fullmatch(exact["target_modules"], name)]
    assert matched == [name for name, _ in adapters(fresh_model())]
    assert {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA}.items() <= brief.items()
    assert brief["base_model_name_or_path"] == "some/base" and brief["bias"] == "none"
    with pytest.raises(ValueError, match="no adapters"):
        save_peft(plain_model(), tmp_path / "none", "some/base")
    assert not (tmp_path / "none").exists()


def test_an_adapted_model_can_be_copied_and_restored():
    model = trained_model()
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin), logits(model))
    fresh = fresh_model(seed=5)
    assert not torch.equal(logits(fresh), logits(model))
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(logits(fresh), logits(model))
