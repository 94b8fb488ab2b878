"""Times forward and backward of a policy update on one group: shared prompt against the padded batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from grpo.bench.measure import OURS, Sides, Work
from grpo.bench.models import cases, forward_flops, model_config, random_model
from grpo.logprobs import token_logprobs
from grpo.models.compatibility import prepare
from grpo.packing import pack
from grpo.types import Sampling

CASES: tuple[dict[str, Any], ...] = (
    {"prompt": 512, "new": 128, "group": 8},
    {"prompt": 2048, "new": 128, "group": 16},
    {"prompt": 512, "new": 128, "group": 8, "hybrid": True},
)


def works() -> list[Work]:
    """One group each: a prompt of 512 tokens with 8 completions, one of 2,048 with 16, and the first on a hybrid."""
    return [work(settings) for settings in cases(CASES, CASES[1])]


def work(settings: dict[str, Any]) -> Work:
    """`arithmetic_ratio` bounds the speed-up that sharing the prompt can give."""
    prompt, new, group = (settings[name] for name in ("prompt", "new", "group"))
    config = model_config(settings)
    scored, completion_pairs = group * new, group * (new * prompt + new**2 / 2)
    shared = forward_flops(config, prompt + group * new, prompt**2 / 2 + completion_pairs, scored)
    padded = forward_flops(config, group * (prompt + new), group * prompt**2 / 2 + completion_pairs, scored)
    notes = {"arithmetic_ratio": padded / shared}
    return Work("update", build, settings, scored, 3 * shared, notes=notes)


def build(settings: dict[str, Any]) -> Sides:
    """Gradients of the policy loss at ratio 1 (advantage times log-prob): ours, and those of the padded batch."""
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(1, settings["vocabulary"], (settings["prompt"],), generator=generator)
    new = torch.randint(1, settings["vocabulary"], (settings["group"], settings["new"]), generator=generator)
    advantages = torch.linspace(-1, 1, settings["group"]).repeat_interleave(settings["new"]).to(settings["device"])
    ids = torch.cat([prompt.expand(settings["group"], -1), new], 1)
    masks = [[0] * settings["prompt"] + [1] * settings["new"]] * settings["group"]

    batch = ids.to(settings["device"])

    def shared(model: PreTrainedModel) -> None:
        packed = pack(ids.tolist(), masks).to(settings["device"])
        backward(model, token_logprobs(model, packed, Sampling())[0])

    def padded(peer: PreTrainedModel) -> None:
        # By default the library's head scores all positions.
        output = peer(input_ids=batch, attention_mask=torch.ones_like(batch), logits_to_keep=settings["new"] + 1)
        logits = output.logits[:, :-1].float().flatten(0, 1)
        backward(peer, -cross_entropy(logits, batch[:, -settings["new"] :].flatten(), reduction="none"))

    def backward(model: PreTrainedModel, logprob: Tensor) -> None:
        (logprob * advantages).mean().backward()
        model.zero_grad(set_to_none=True)

    def ours() -> Callable[[], object]:
        model = random_model(settings)
        prepare(model)
        return partial(shared, model)

    return {OURS: ours, "padded batch": lambda: partial(padded, random_model(settings))}
