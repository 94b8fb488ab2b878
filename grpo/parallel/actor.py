"""A loaded policy that plays episodes: checkpoint, chat format and generation engine, put together once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedConfig

from envs.protocol import Scenario, Split
from grpo.chat.template import ChatFormat
from grpo.engine.engine import Engine
from grpo.engine.hybrid_engine import HybridEngine
from grpo.errors import UserError
from grpo.models.causal_lm import CausalLM, is_recurrent
from grpo.models.checkpoint import Checkpoint
from grpo.parallel.ranks import Ranks
from grpo.rollout import roll_out
from grpo.types import Episode, Limits, Request, Sampling

PROBED_TASKS = 16
"""Tasks of each scenario and split whose prompts are measured to size the engine's slots."""
PROMPT_MARGIN = 1.25
"""Room for prompts longer than the longest one measured."""


@dataclass
class Actor:
    """A policy ready for rollouts on `scenarios`."""

    checkpoint: Checkpoint
    chat: ChatFormat
    engine: Engine
    scenarios: Mapping[str, Scenario]
    limits: Limits
    ranks: Ranks = field(default_factory=Ranks)

    @classmethod
    def prepare(
        cls,
        checkpoint: Checkpoint,
        scenarios: Mapping[str, Scenario],
        limits: Limits,
        slots: int,
        thinking: bool | None = None,
        ranks: Ranks | None = None,
    ) -> Actor:
        """Sizes an engine of `slots` for the scenarios' prompts.

        Raises ChatFormatError for a chat template that cannot be continued, and UserError for episodes longer than the
        model's context.
        """
        model = checkpoint.model
        eos = model.generation_config.eos_token_id
        eos_ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
        chat = ChatFormat(checkpoint.tokenizer, thinking, eos_ids)
        length = slot_length(longest_prompt(chat, scenarios), limits, model.config)
        engine = HybridEngine if is_recurrent(model) else Engine
        return cls(checkpoint, chat, engine(model, slots, length), scenarios, limits, ranks or Ranks())

    def use(self, model: CausalLM) -> None:
        """Samples from this copy of the model from now on."""
        if model is not self.engine.model:
            self.engine.use(model)

    def play(self, requests: Sequence[Request], sampling: Sampling) -> list[Episode]:
        """The episodes of `requests`, in their order, on every rank. A rank plays whole groups of siblings.

        Leaves no cache behind: the next stage needs its memory.
        """
        groups = dict.fromkeys(request.group for request in requests)
        rank_of = {group: place % self.ranks.size for place, group in enumerate(groups)}
        share = [request for request in requests if rank_of[request.group] == self.ranks.rank]
        try:
            episodes = roll_out(self.engine, self.chat, self.scenarios, share, sampling, self.limits)
        finally:
            self.engine.clear()
        by_rank = [iter(played) for played in self.ranks.gather(episodes)]
        return [next(by_rank[rank_of[request.group]]) for request in requests]


def slot_length(longest: int, limits: Limits, config: PreTrainedConfig) -> int:
    """Tokens of an engine's slots for prompts of up to `longest` tokens, with a margin within the model's context.

    Raises UserError if the model's context is too short.
    """
    length = int(longest * PROMPT_MARGIN) + limits.max_episode_tokens
    context = context_length(config.get_text_config(decoder=True), length)
    if longest + limits.max_episode_tokens > context:
        raise UserError(
            f"prompts of up to {longest} tokens and {limits.max_episode_tokens} tokens per episode exceed the "
            f"model's context of {context}; lower max_episode_tokens"
        )
    return min(length, context)


def context_length(config: PreTrainedConfig, default: int) -> int:
    """The most tokens of a sequence; `default` if the configuration does not say.

    Beyond the original context, LongRoPE (arXiv 2402.13753) changes the frequencies of every token in the pass, cached
    ones included, so sequences are no longer independent: the original context is the limit.
    """
    context: int = getattr(config, "max_position_embeddings", default)
    rotary = getattr(config, "rope_parameters", None) or {}
    for parameters in (rotary, *rotary.values()):
        if isinstance(parameters, dict) and parameters.get("rope_type") == "longrope":
            context = min(context, parameters.get("original_max_position_embeddings", context))
    return context


def longest_prompt(chat: ChatFormat, scenarios: Mapping[str, Scenario]) -> int:
    """The most tokens in a prompt, over a few tasks of each scenario and split."""
    splits: tuple[Split, ...] = ("train", "heldout")
    envs = (
        scenario.env(seed, split) for scenario in scenarios.values() for split in splits for seed in range(PROBED_TASKS)
    )
    return max(len(chat.prompt(env.reset().messages, env.tools)) for env in envs)
