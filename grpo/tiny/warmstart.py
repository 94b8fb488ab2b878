"""Trains the embedded policy from scratch: a tokenizer, then supervised learning on scripted demonstrations.

There are three phases:

1. The oracle's episodes without the tools in the prompt, and drills in copying (`grpo.tiny.demonstrations`). A model
   learns to copy ids, names and phrases much sooner from a hundred tokens of context than from seven hundred, and each
   step is cheaper.
2. The oracle's episodes with the tools in the prompt.
3. The noisy script's episodes, which teach the paper's silent failures.

The learning rate decays to zero over the last two phases. The result plays the role of a prompted baseline, which GRPO
then improves.

Loss: cross-entropy of the assistant's tokens, mean over a batch. Matrices are trained with Muon (Jordan 2024,
https://kellerjordan.github.io/posts/muon/; `grpo.tiny.muon`), embeddings and norms with AdamW (arXiv 1711.05101).
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from envs.scenarios import NAMES, SCENARIOS
from grpo.chat.template import ChatFormat
from grpo.config import option, range_problems
from grpo.errors import OptionError
from grpo.logprobs import token_logprobs
from grpo.models.checkpoint import Checkpoint, save
from grpo.models.compatibility import prepare
from grpo.packing import pack
from grpo.parallel.launch import launch
from grpo.parallel.ranks import Ranks
from grpo.tiny.demonstrations import Demonstration, choice, generate, repetition, texts
from grpo.tiny.muon import Muon
from grpo.tiny.tokenizer import train_tokenizer
from grpo.types import Sampling


@dataclass(frozen=True)
class WarmStart:
    """Options of `grpo warmstart`. Raises OptionError for invalid values."""

    out: str = option("runs/warmstart", "output directory; the checkpoint is in its folder `final`")
    seed: int = option(0, "seed of the initial weights and the batches")
    bare_steps: int = option(1_300, "optimizer steps of phase 1 (no tools in the prompt)", minimum=0)
    clean_steps: int = option(400, "optimizer steps of phase 2 (the oracle's episodes)", minimum=0)
    noisy_steps: int = option(350, "optimizer steps of phase 3 (the noisy script's episodes)", minimum=0)
    batch: int = option(32, "episodes per step", minimum=1)
    demonstrations: int = option(4_000, "clean demonstrations per scenario; noisy ones: half as many", minimum=1)
    matrix_rate: float = option(0.02, "learning rate of Muon", above=0)
    other_rate: float = option(6e-3, "learning rate of AdamW", above=0)
    processes: int = option(2, "number of worker processes", minimum=1)

    def __post_init__(self) -> None:
        for problem in range_problems(self):
            raise OptionError(problem)
        if self.demonstrations // 2 < self.batch:
            raise OptionError(
                f"batch {self.batch} needs at least {2 * self.batch} demonstrations, but there are only "
                f"{self.demonstrations}: raise demonstrations or lower batch"
            )


_CAPABILITIES: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
HAS_BF16 = bool(_CAPABILITIES.get("avx512_bf16") or _CAPABILITIES.get("amx_bf16"))
WARMUP = 100
REPETITIONS, CHOICES = 0.25, 0.5
"""Share of drills in the batches of phase 1: repetitions first, then choices in the last 30% of the steps.

Choices build on the match that repetitions teach. When both were mixed from the start, neither was learned in 1,000
steps.
"""
CHOICES_FROM = 0.7
REPORT_EVERY, SAVE_EVERY = 50, 250
"""Interval in steps between progress lines, and between saves of the current weights."""
TOKENIZER_EPISODES = 200
"""Number of episodes per scenario that the tokenizer is trained on."""
SHAPE = {
    "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 48,
}  # fmt: skip
"""About two million parameters."""


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """A Qwen3 of `SHAPE` with random weights."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        **SHAPE,
        max_position_embeddings=4_096,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    prepare(model)
    return model


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Trains the tokenizer on the scenarios' tools and episodes."""
    tools = [json.dumps(tool.render()) for name in NAMES for tool in SCENARIOS[name].env(0, "train").tools]
    # Repeated often enough that every role and every group of three digits becomes a token.
    rare = ["system\nuser\nassistant\n", " ".join(f"{number:03}" for number in range(1_000))] * 3
    return train_tokenizer([*tools, *texts(TOKENIZER_EPISODES), *rare])


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for everything else, under one schedule."""

    def __init__(self, model: Qwen3ForCausalLM, options: WarmStart) -> None:
        matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in chosen]
        self.muon = Muon(matrices, lr=options.matrix_rate, weight_decay=0.01)
        self.adam = torch.optim.AdamW(others, lr=options.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
        self._rates = (options.matrix_rate, options.other_rate)
        self._steps = options.bare_steps + options.clean_steps + options.noisy_steps
        self._decay = max(1, options.clean_steps + options.noisy_steps)
        self._parameters = list(model.parameters())

    def step(self, step: int) -> None:
        """Updates the weights at `step`, from 1. The rates rise during WARMUP and decay from the start of phase 2."""
        scale = min(1.0, step / WARMUP, (self._steps - step + 1) / self._decay)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimizer, rate in zip((self.muon, self.adam), self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad()


Batch = list[tuple[list[int], list[int]]]
"""Episodes as (ids [T], mask [T])."""
Drill = Callable[[random.Random], tuple[list[int], list[int]]]


def mixed_batches(
    demonstrations: list[Demonstration], size: int, rng: random.Random, drill: Drill, share: float
) -> Iterator[Batch]:
    """Yields batches forever: episodes of all scenarios without the tools; `share` of each batch are copying drills."""
    queue: list[Demonstration] = []
    while True:
        if len(queue) < size:
            queue = rng.sample(demonstrations, len(demonstrations))
        drills = [drill(rng) for _ in range(int(size * share))]
        yield [queue.pop().sequence(bare=True) for _ in range(size - len(drills))] + drills


def scenario_batches(demonstrations: list[Demonstration], size: int, rng: random.Random) -> Iterator[Batch]:
    """Yields batches forever, each of one scenario, so that its tools are computed once; the scenarios take turns."""
    by_scenario = {name: [d for d in demonstrations if d.scenario == name] for name in NAMES}
    queues: dict[str, list[Demonstration]] = {name: [] for name in NAMES}
    while True:
        for name in NAMES:
            if len(queues[name]) < size:
                queues[name] = rng.sample(by_scenario[name], len(by_scenario[name]))
            yield [queues[name].pop().sequence(bare=False) for _ in range(size)]


def curriculum(
    clean: list[Demonstration], noisy: list[Demonstration], chat: ChatFormat, options: WarmStart
) -> Iterator[Batch]:
    """The batches of all three phases."""
    rng = random.Random(options.seed)
    first = int(options.bare_steps * CHOICES_FROM)
    for steps, drill, share in (
        (first, partial(repetition, chat), REPETITIONS),
        (options.bare_steps - first, partial(choice, chat), CHOICES),
    ):
        yield from islice(mixed_batches(clean, options.batch, rng, drill, share), steps)
    yield from islice(scenario_batches(clean, options.batch, rng), options.clean_steps)
    yield from islice(scenario_batches(noisy, options.batch, rng), options.noisy_steps)


def loss(model: Qwen3ForCausalLM, batch: Batch, share: Batch) -> Tensor:
    """Contribution of `share`, a part of `batch`, to the mean cross-entropy of the assistant's tokens.

    In bf16 where the CPU has units for it; without them bf16 is slower than fp32.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16):
        logprob, _ = token_logprobs(model, pack([ids for ids, _ in share], [mask for _, mask in share]), Sampling())
    return -logprob.sum() / sum(sum(mask) for _, mask in batch)


def warm_start(options: WarmStart) -> Path:
    """Trains the policy and returns its checkpoint directory. Deterministic for equal options on one machine."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    chat = ChatFormat(new_tokenizer())
    started = time.perf_counter()
    clean = generate(chat, "oracle", 0, options.demonstrations, options.processes)
    noisy = generate(chat, "noisy", options.demonstrations, options.demonstrations // 2, options.processes)
    seconds = time.perf_counter() - started
    print(f"{len(clean)} clean and {len(noisy)} noisy demonstrations in {seconds:.0f} s", flush=True)
    status = launch(options.processes, _train, chat, clean, noisy, options, fork=True)
    if status:
        raise SystemExit(status)
    return out / "final"


def _train(
    chat: ChatFormat,
    clean: list[Demonstration],
    noisy: list[Demonstration],
    options: WarmStart,
    ranks: Ranks,
) -> int:
    """Runs all steps in one of several processes, which each compute a part of every batch and apply the same update.

    Two processes with one thread each are 1.5 times as fast as one process with two threads. The first process writes
    a line of `metrics.jsonl` per step, and the weights every SAVE_EVERY steps.
    """
    model, tokenizer = new_model(chat.tokenizer, options.seed), chat.tokenizer
    optimizers = Optimizers(model, options)
    out, seen, started = Path(options.out), 0, time.perf_counter()
    with (out / "metrics.jsonl" if ranks.first else Path(os.devnull)).open("w") as log:
        for step, batch in enumerate(curriculum(clean, noisy, chat, options), start=1):
            # Sorted by length, so that every process gets about the same amount of work.
            part = loss(model, batch, ranks.share(sorted(batch, key=lambda one: len(one[0]))))
            part.backward()
            ranks.sum_gradients(model.parameters())
            value = sum(ranks.gather(part.item()))
            optimizers.step(step)
            seen += sum(len(ids) for ids, _ in batch)
            seconds = time.perf_counter() - started
            log.write(json.dumps({"step": step, "loss": value, "timing": {"seconds": seconds}}) + "\n")
            if ranks.first and step % REPORT_EVERY == 0:
                log.flush()
                print(f"step {step}  loss {value:.4f}  {seen / seconds:.0f} tokens/s", flush=True)
            if ranks.first and step % SAVE_EVERY == 0:
                save(Checkpoint(model, tokenizer), out / "final", torch.bfloat16)
    if ranks.first:
        save(Checkpoint(model, tokenizer), out / "final", torch.bfloat16)
    return 0
