"""`grpo plan`: the memory that a training run takes, before anybody starts one.

Nothing is computed. The weights' sizes come from the configuration; one update runs on fake tensors
(`torch._subclasses.FakeTensorMode`), which have shapes and no data, while every storage that comes and goes is counted;
the cache of rollouts is counted at its bound.
"""

from __future__ import annotations

import math
import weakref
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from grpo.chat.template import ChatFormat
from grpo.cli.arguments import parse_run
from grpo.cli.parser import Parser, natural, positive
from grpo.config import Options
from grpo.engine.engine import PREFILL_CHUNK, PREFILL_TOKENS, Engine
from grpo.engine.hybrid_engine import HybridEngine
from grpo.engine.kv_cache import BLOCK
from grpo.errors import ChatFormatError, UserError
from grpo.models.attention import NAME
from grpo.models.causal_lm import is_recurrent
from grpo.models.checkpoint import TINY, TINY_DIRECTORY
from grpo.models.fast_layers import patch_layers, patch_linears
from grpo.models.recompute import decoder_layers
from grpo.models.recurrence import patch_mixers, shares_prefixes
from grpo.packing import pack, pad
from grpo.parallel.actor import longest_prompt, slot_length
from grpo.parallel.policy import TrainingPolicy
from grpo.parallel.ranks import Ranks
from grpo.parallel.sharding import compute_dtype, is_sharded
from grpo.run.environments import load_scenarios
from kernels.linear import AVAILABLE

GB = 1e9
EXPERTS = torch.ops.aten._grouped_mm.default
PROCESS = 150_000_000
"""Bytes that a process on a CPU takes beside its tensors: above all the kernels that oneDNN compiles."""
GAPS = 1.3
"""What malloc takes for the many tensors of a pass, for each of their bytes (docs/performance.md)."""


class Plan(NamedTuple):
    """Bytes on each GPU (or of a CPU process)."""

    weights: int
    acting: int
    """The second model for rollouts, where the trained weights are sharded or fp32 masters of a bf16 computation."""
    reference: int
    optimizer: int
    gradients: int
    activations: int
    """What an update of `token_budget` tokens holds beside weights, gradients and optimizer, at its peak."""
    cache: int
    """Keys and values of all rows and prompts of a rollout, at their bound; on a CPU also the weights as oneDNN reads
    them."""
    process: int
    """What is not a tensor; on GPUs not counted."""

    @property
    def peak(self) -> int:
        """Rollouts and updates take turns."""
        return sum(self[:4]) + max(self.gradients + self.activations, self.cache) + self.process


def main(arguments: Sequence[str]) -> int:
    """Prints the plan. Exit status 1 says that it does not fit."""
    parser = Parser(prog="grpo plan")
    machines = parser.add_argument_group("the machines to plan for; all other options are those of grpo train")
    machines.add_argument("--gpus", type=natural, default=0, help="GPUs of the run; 0 is one process on a CPU")
    machines.add_argument("--gpu_gb", type=_gigabytes, default=80.0, help="memory of each GPU in GB")
    machines.add_argument("--gpus_per_node", type=positive, default=8, help="GPUs in each machine")
    options, mine = parse_run(arguments, parser)
    made = plan(options, mine.gpus, mine.gpus_per_node)
    print(table(made, options, mine.gpus))
    if not mine.gpus:
        return 0
    fits = made.peak <= 0.95 * mine.gpu_gb * GB
    print(f"fits into {mine.gpu_gb:g} GB" if fits else f"does not fit into {mine.gpu_gb:g} GB: {advice(made, options)}")
    return 0 if fits else 1


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def plan(options: Options, gpus: int, node: int = 8) -> Plan:
    """The memory of a run on so many GPUs, `node` of them in each machine; on the CPU, of one process, for 0.

    Raises UserError where `grpo train` would: for a directory without a model's configuration and tokenizer, for a chat
    template that cannot be continued, and for episodes longer than the model's context.
    """
    folder = TINY_DIRECTORY if options.model == TINY else Path(options.model)
    if not folder.is_dir():
        raise UserError(f"there is no model in {folder} (a Hugging Face checkpoint directory, or `{TINY}`)")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        chat = ChatFormat(AutoTokenizer.from_pretrained(folder, local_files_only=True), options.thinking)
    except ChatFormatError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} cannot be planned for: {str(error).splitlines()[0]}") from error
    prompt = longest_prompt(chat, load_scenarios(options.scenarios, options.env))
    slot_length(prompt, options.limits, config)
    half = compute_dtype(options.precision, torch.device("cuda" if gpus else "cpu")) == torch.bfloat16
    # In fp32 and alone, so that no model is copied: fake tensors cannot be.
    alone = replace(options, shard="none", precision="fp32", kl="none", kl_coef=0.0)
    shards = 1
    if is_sharded(options, gpus, torchrun=True):
        shards = min(gpus, node) if options.shard == "hybrid" else gpus
    with FakeTensorMode():
        dtype = torch.bfloat16 if half and options.lora_rank else torch.float32
        try:
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        except ValueError as error:
            raise UserError(f"{folder} cannot be planned for: {str(error).splitlines()[0]}") from error
        model.set_attn_implementation(NAME)
        patch_linears(model)
        patch_mixers(model)
        if not gpus:
            patch_layers(model)
        total = sum(weight.nbytes for weight in model.parameters())
        count = sum(weight.numel() for weight in model.parameters())
        layer = max(sum(weight.numel() for weight in layer.parameters()) for layer in decoder_layers(model))
        learner = TrainingPolicy(model, alone, Ranks())
        learner.dtype = torch.bfloat16 if half else torch.float32
        held = sum(weight.nbytes for weight in learner.parameters())
        trained = sum(weight.numel() for weight in learner.parameters() if weight.requires_grad)
        separate = shards > 1 or (half and not options.lora_rank)
        try:
            peak = update_peak(learner, alone, prompt)
        except DataDependentOutputException as error:
            raise UserError(f"{folder} cannot be planned for: its layers go by values, which a plan has not") from error
        kept = kept_numbers(model)
    # Of sharded weights the layer at work, the next one and what is outside the layers are gathered.
    rest = count - len(decoder_layers(model)) * layer
    gathered = (2 * layer + rest) * (2 if half else 4) if shards > 1 else 0
    packed = 0 if gpus or half or not AVAILABLE else 4 * count
    states = trained * (4 if options.optimizer_states == "bf16" else 8)
    return Plan(
        weights=held // shards,
        acting=count * (2 if half else 4) if separate else 0,
        reference=total // shards if options.kl_coef and not options.lora_rank else 0,
        optimizer=states // shards,
        gradients=4 * trained // shards,
        activations=(peak if gpus else int(GAPS * peak)) + gathered,
        cache=cache_bytes(config, kept, options, gpus, prompt, 2 if half else 4) + packed,
        process=0 if gpus else PROCESS,
    )


def update_peak(learner: TrainingPolicy, options: Options, prompt: int) -> int:
    """Bytes at the peak of one update, beside the gradients: a prompt of so many tokens and what fits behind it."""
    length = min(options.max_episode_tokens, max(1, options.token_budget - prompt))
    rows = max(1, min(options.group_size, (options.token_budget - prompt) // length))
    layout = pack if shares_prefixes(learner.model) else pad
    sequences = [[1] * prompt + [2 + row] * length for row in range(rows)]
    packed = layout(sequences, [[0] * prompt + [1] * length] * rows)
    # From the second micro-batch on the gradients are there already.
    for weight in learner.parameters():
        weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
    with LiveMemory() as memory:
        learner(packed, options.sampling)[0].sum().backward()
    return memory.peak


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of every storage made within, until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        if function is EXPERTS:  # fake tensors know this product in bf16 alone
            inputs, weights, *rest = args
            result = function(inputs.bfloat16(), weights.bfloat16(), *rest, **(kwargs or {})).to(inputs.dtype)
        else:
            result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and id(storage := leaf.untyped_storage()) not in given:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.live -= size


class Kept(NamedTuple):
    """How many numbers an engine keeps."""

    layer: int
    """The key and the value of a token in one attention layer."""
    token: int
    """Keys and values of a token in all of them."""
    windows: int
    """What the convolutions of a row's recurrent layers look back on."""
    states: int
    """The recurrent states of a row, in fp32."""


def kept_numbers(model: PreTrainedModel) -> Kept:
    """What the model's engine keeps of a prefix of one token."""
    engine = HybridEngine(model, 1, 2) if is_recurrent(model) else Engine(model, 1, 2)
    with LiveMemory():  # which knows experts' products
        prefix = engine.prefix([1])
    layers = [prefix.keys[layer].numel() + prefix.values[layer].numel() for layer in prefix.keys]
    rows = engine.prefix_states[prefix].values() if isinstance(engine, HybridEngine) else ()
    windows, states = (sum(row[part].numel() for row in rows) for part in (0, 1))
    return Kept(max(layers, default=0), sum(layers), windows, states)


def cache_bytes(config: PreTrainedConfig, kept: Kept, options: Options, gpus: int, prompt: int, size: int) -> int:
    """What a rollout holds on one rank, every episode as long as it may be: keys, values and recurrent states of its
    rows and prompts, and what a prefill pass adds."""
    text = config.get_text_config(decoder=True)
    heads = text.num_attention_heads
    prompts = -(-options.prompts_per_step // max(gpus, 1))
    rows = min(options.rows, prompts * options.group_size)
    own = rows * -(-options.max_episode_tokens // BLOCK) * BLOCK
    attention = size * kept.token * (own + prompts * prompt)
    # The mask of a prefill pass, its rows' keys and values side by side, and the scores where they are written out.
    length = own // rows
    scores = 4 * PREFILL_TOKENS * length * (1 + heads // (getattr(text, "num_key_value_heads", None) or heads))
    scores += 3 * 4 * PREFILL_TOKENS * length * heads if gpus else 0
    attention += scores + PREFILL_TOKENS // PREFILL_CHUNK * length * size * kept.layer
    # A decode step reads the rows' states side by side and makes new ones: three of each at a time.
    return attention + (size * kept.windows + 4 * kept.states) * (3 * rows + prompts)


def table(made: Plan, options: Options, gpus: int) -> str:
    """The plan as text."""
    where = f"each of {gpus} GPUs" if gpus else "the process"
    lines = [f"{options.model} on {where}, GB:"]
    lines += [f"{name:12} {size / GB:9.3f}" for name, size in zip(made._fields, made, strict=True)]
    return "\n".join([*lines, f"{'peak':12} {made.peak / GB:9.3f}  (rollouts and updates take turns)"])


def advice(made: Plan, options: Options) -> str:
    """What to change, the most useful first."""
    update = made.gradients + made.activations > made.cache
    if update and made.activations > made.weights and not options.gradient_checkpointing:
        return "give --gradient_checkpointing true"
    if not update:
        return f"lower --rows from {options.rows} or --max_episode_tokens from {options.max_episode_tokens}"
    if not options.lora_rank and made.optimizer + made.gradients > made.activations:
        return "take more GPUs, --optimizer_states bf16, or --lora_rank 32"
    return f"lower --token_budget from {options.token_budget}"
