"""The memory that a training run takes, by arithmetic: the model's weights, and its shapes from the configuration.

Nothing is computed and no weight is read: the model is built on PyTorch's `meta` device to count its weights. For
decoders like Llama and Qwen3 the plan is within 15 % of what a run took (docs/log/memory.md). Experts count as one wide
MLP, and recurrent layers as attention with wider projections, so their activations are an estimate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from grpo.chat.template import ChatFormat
from grpo.config import Options
from grpo.engine.engine import PREFILL_CHUNK, PREFILL_TOKENS
from grpo.engine.kv_cache import BLOCK
from grpo.errors import ChatFormatError, UserError
from grpo.models.checkpoint import TINY, TINY_DIRECTORY
from grpo.models.recompute import decoder_layers
from grpo.parallel.actor import longest_prompt, slot_length
from grpo.parallel.sharding import compute_dtype, is_sharded
from grpo.run.environments import load_scenarios
from kernels.linear import AVAILABLE
from kernels.logprob import CHUNK_ELEMENTS

PROCESS = 150_000_000
"""Bytes of a process on a CPU beside its tensors: above all the kernels that oneDNN compiles."""
GAPS = 1.3
"""Bytes that malloc takes for each byte of a pass's many tensors (docs/log/memory.md)."""
BACKWARD = 1.2
"""A recomputed layer in its backward pass, relative to what its forward pass saves."""


class Plan(NamedTuple):
    """Bytes on each GPU, or of a process on a CPU."""

    weights: int
    rollout_model: int  # the second model, if the trained weights are sharded or fp32 masters of a bf16 computation
    reference: int
    optimizer: int
    gradients: int
    activations: int  # of an update of `token_budget` tokens, at its peak
    cache: int  # keys and values of all slots and prompts at their bound; on a CPU also the packed weights
    process: int  # what is not a tensor; not counted on GPUs

    @property
    def peak(self) -> int:
        """Rollouts and updates take turns."""
        return sum(self[:4]) + max(self.gradients + self.activations, self.cache) + self.process


class Shape(NamedTuple):
    """A decoder's sizes: numbers per token and layer, unless said otherwise."""

    layers: int
    attention_layers: int
    hidden: int
    queries: int
    keys: int  # values alike
    heads: int
    head_norms: bool
    intermediate: int
    vocabulary: int
    state: int  # recurrent states of a sequence in all layers, in fp32


def plan(options: Options, gpus: int, node: int = 8) -> Plan:
    """The memory of a run on `gpus` GPUs, `node` of them in each machine; of one process on a CPU for 0.

    Raises UserError where `grpo train` would: for a directory without a model's configuration and tokenizer, for a chat
    template that cannot be continued, and for episodes longer than the model's context.
    """
    folder = TINY_DIRECTORY if options.model == TINY else Path(options.model)
    if not folder.is_dir():
        raise UserError(f"there is no model in {folder} (a Hugging Face checkpoint directory, or `{TINY}`)")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        chat = ChatFormat(AutoTokenizer.from_pretrained(folder, local_files_only=True), options.thinking)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except ChatFormatError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} cannot be planned for: {str(error).splitlines()[0]}") from error
    prompt = longest_prompt(chat, load_scenarios(options.scenarios, options.env))
    slot_length(prompt, options.limits, config)

    half = compute_dtype(options.precision, torch.device("cuda" if gpus else "cpu")) == torch.bfloat16
    size, shape, lora, layers = 2 if half else 4, shape_of(config), options.lora_rank, decoder_layers(model)
    count = sum(weight.numel() for weight in model.parameters())
    layer = max(sum(weight.numel() for weight in layer.parameters()) for layer in layers)
    linears = [module for layer in layers for module in layer.modules() if isinstance(module, nn.Linear)]
    trained = sum(lora * (one.in_features + one.out_features) for one in linears) if lora else count
    shards = 1
    if is_sharded(options, gpus, torchrun=True):
        shards = min(gpus, node) if options.shard == "hybrid" else gpus
    # Of sharded weights the layer at work, the next one and the weights outside the layers are gathered.
    gathered = (2 * layer + count - len(layers) * layer) * size if shards > 1 else 0
    activations = update_bytes(shape, options, prompt, half, sum(one.weight.numel() for one in linears))
    return Plan(
        weights=(count * (2 if half and lora else 4) + (4 * trained if lora else 0)) // shards,
        rollout_model=count * size if shards > 1 or (half and not lora) else 0,
        reference=4 * count // shards if options.kl_coef and not lora else 0,
        optimizer=trained * (4 if options.optimizer_states == "bf16" else 8) // shards,
        gradients=4 * trained // shards,
        activations=(activations if gpus else int(GAPS * activations)) + gathered,
        cache=cache_bytes(shape, options, gpus, prompt, size) + (0 if gpus or half or not AVAILABLE else 4 * count),
        process=0 if gpus else PROCESS,
    )


def shape_of(config: Any) -> Shape:
    """The sizes in a model's configuration."""
    text = config.get_text_config(decoder=True)

    def value(name: str, default: int = 0) -> int:
        return int(getattr(text, name, None) or default)

    heads, layers, hidden = value("num_attention_heads"), value("num_hidden_layers"), value("hidden_size")
    latent = value("qk_nope_head_dim") + value(
        "qk_rope_head_dim"
    )  # keys and values are padded to one width; JetMoE repeats its keys for each expert
    head = max(latent, value("v_head_dim")) or value("head_dim", hidden // max(heads, 1))
    recurrent = list(getattr(text, "layer_types", None) or ()).count("linear_attention")
    read = value("linear_num_key_heads") * value("linear_key_head_dim")
    written = value("linear_num_value_heads") * value("linear_value_head_dim")
    window = (2 * read + written) * value("linear_conv_kernel_dim")
    experts = value("num_experts_per_tok") * value("moe_intermediate_size") + value("shared_expert_intermediate_size")
    return Shape(
        layers=layers,
        attention_layers=layers - recurrent,
        hidden=hidden,
        queries=max(heads * head, 2 * written),
        keys=(heads if latent or text.model_type == "jetmoe" else value("num_key_value_heads", heads)) * head,
        heads=heads,
        head_norms=config.model_type.startswith(("qwen3", "gemma3")),
        intermediate=experts or value("intermediate_size", 4 * hidden),
        vocabulary=value("vocab_size"),
        state=recurrent * (written * value("linear_key_head_dim") + window),
    )


def update_bytes(s: Shape, options: Options, prompt: int, half: bool, linear_weights: int) -> int:
    """Bytes at the peak of an update beside the gradients: one prompt, and as many completions as fit behind it."""
    length = min(options.max_episode_tokens, max(1, options.token_budget - prompt))
    rows = max(1, min(options.group_size, (options.token_budget - prompt) // length))
    tokens, scored = prompt + rows * length, rows * length
    lora, size = options.lora_rank, 2 if half else 4
    masters = half and not lora  # fp32 weights under autocast, which casts the input of each linear layer anew
    # Saved per token: the norms' inputs in fp32 and, to train their weights, the normed ones; inputs of linear layers;
    # queries, keys, values, output and log-sum-exp of the attention; gate, its activation, up and their product.
    layer = 2 * s.hidden * 4 * (1 if lora else 2) + (5 if masters else 2) * s.hidden * size
    layer += (s.queries + s.keys) * (4 + (0 if lora else size)) if s.head_norms else 0
    layer += 2 * (s.queries + s.keys) * size + 4 * s.heads + 4 * s.intermediate * size + 7 * lora * size
    # The head: hidden states and their gradient, chunks of logits and their gradient, the gradient of its weight.
    head = 2 * scored * s.hidden * 4 + 2 * 4 * max(CHUNK_ELEMENTS, 16 * s.vocabulary)
    head += 0 if lora else 4 * s.vocabulary * s.hidden
    head += (
        2 * (linear_weights + s.vocabulary * s.hidden) if masters else 0
    )  # autocast keeps a bf16 copy of each weight
    if not options.gradient_checkpointing:
        return s.layers * tokens * layer + head
    inputs = s.layers * tokens * s.hidden * (size if lora else 4)
    return inputs + max(head, int(BACKWARD * tokens * layer))


def cache_bytes(s: Shape, options: Options, gpus: int, prompt: int, size: int) -> int:
    """Bytes that a rollout holds on one rank, every episode as long as it may be."""
    prompts = -(-options.prompts_per_step // max(gpus, 1))
    slots = min(options.rows, prompts * options.group_size)
    completion = -(-options.max_episode_tokens // BLOCK) * BLOCK
    by_token = 2 * s.keys * size
    cache = s.attention_layers * by_token * (slots * completion + prompts * prompt)
    # A prefill pass: its mask, its slots' keys and values side by side, and the scores where they are written out.
    scores = 4 * PREFILL_TOKENS * completion * (1 + s.queries // max(s.keys, 1) + (3 * s.heads if gpus else 0))
    side_by_side = PREFILL_TOKENS // PREFILL_CHUNK * completion * by_token
    # A decode step reads the states side by side and makes new ones: three of each at a time.
    return cache + scores + side_by_side + 4 * s.state * (3 * slots + prompts)
