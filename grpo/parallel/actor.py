"""A model that plays episodes: checkpoint, chat format and generation engine, put together once."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm
from transformers import PreTrainedConfig

from envs.protocol import Scenario, Split
from grpo.chat.template import ChatFormat, ChatFormatError
from grpo.cli.main import UserError
from grpo.engine.engine import Engine
from grpo.engine.hybrid_engine import RecurrentEngine
from grpo.models.attention import is_recurrent
from grpo.models.checkpoint import Checkpoint
from grpo.parallel.ranks import Ranks
from grpo.rollout import rollout
from grpo.run.evaluation import Evaluation, summarise
from grpo.sampling import row_key
from grpo.types import Episode, Limits, Request, Sampling

PROBED_TASKS = 16
"""Tasks of each scenario and split whose prompts are measured to size the engine's rows."""
PROMPT_MARGIN = 1.25
"""Room for prompts longer than the longest one measured."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of an evaluation: `count` of each scenario, from `seed` on."""

    count: int
    seed: int
    split: Split


@dataclass
class Player:
    """A loaded policy, ready for rollouts on `scenarios`."""

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
        rows: int,
        thinking: bool | None = None,
        ranks: Ranks | None = None,
    ) -> Player:
        """Moves the model to the GPU where there is one and sizes the engine for the scenarios' prompts.

        Raises UserError for a chat template that cannot be continued and for episodes longer than the model's context.
        """
        ranks = ranks or Ranks()
        model = checkpoint.model.to(ranks.device)
        eos = model.generation_config.eos_token_id
        eos_ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
        try:
            chat = ChatFormat(checkpoint.tokenizer, thinking, eos_ids)
        except ChatFormatError as error:
            raise UserError(f"this model's chat template cannot be used: {error}") from error
        longest = longest_prompt(chat, scenarios)
        length = int(longest * PROMPT_MARGIN) + limits.max_episode_tokens
        context = context_length(model.config.get_text_config(decoder=True), length)
        if longest + limits.max_episode_tokens > context:
            raise UserError(
                f"prompts of up to {longest} tokens and {limits.max_episode_tokens} tokens per episode exceed the "
                f"model's context of {context}; lower max_episode_tokens"
            )
        engine = RecurrentEngine if is_recurrent(model) else Engine
        return cls(checkpoint, chat, engine(model, rows, min(length, context)), scenarios, limits, ranks)

    def evaluate(self, policy: str, tasks: Tasks, sampling: Sampling) -> tuple[Evaluation, list[Episode]]:
        """Plays every task once and sums up. `policy` is the name that the result carries."""
        bar = tqdm(
            self.scenarios, desc="evaluating", unit="scenario", leave=False, disable=None if self.ranks.first else True
        )
        played = {name: self.play(evaluation_requests(name, tasks), sampling) for name in bar}
        scores = {name: [episode.score for episode in episodes] for name, episodes in played.items()}
        return summarise(policy, tasks.split, tasks.seed, scores), [one for own in played.values() for one in own]

    def play(self, requests: Sequence[Request], sampling: Sampling) -> list[Episode]:
        """The episodes of `requests`, in their order. Leaves no cache behind: its memory is the next stage's."""
        try:
            return self.ranks.episodes(
                requests, lambda own: rollout(self.engine, self.chat, self.scenarios, own, sampling, self.limits)
            )
        finally:
            self.engine.clear()


def evaluation_requests(scenario: str, tasks: Tasks) -> list[Request]:
    """One episode for each task. Its random stream depends on the scenario and the task alone."""
    stream = zlib.crc32(scenario.encode())
    return [
        Request(scenario, tasks.split, task, group, 0, row_key(tasks.seed, stream, task, 0))
        for group, task in enumerate(range(tasks.seed, tasks.seed + tasks.count))
    ]


def context_length(config: PreTrainedConfig, default: int) -> int:
    """How many tokens a sequence may have; `default` where the model does not say.

    LongRoPE (arXiv 2402.13753) turns all tokens otherwise once a pass holds a longer sequence than it knew first, those
    in the cache and of other sequences among them: only up to there does a token's log-prob depend on its own sequence.
    """
    context: int = getattr(config, "max_position_embeddings", default)
    rotary = getattr(config, "rope_parameters", None) or {}
    for kind in (rotary, *rotary.values()):
        if isinstance(kind, dict) and kind.get("rope_type") == "longrope":
            context = min(context, kind.get("original_max_position_embeddings", context))
    return context


def longest_prompt(chat: ChatFormat, scenarios: Mapping[str, Scenario]) -> int:
    """The most tokens in a prompt, over a few tasks of each scenario and split."""
    splits: tuple[Split, ...] = ("train", "heldout")
    envs = (
        scenario.env(seed, split) for scenario in scenarios.values() for split in splits for seed in range(PROBED_TASKS)
    )
    return max(len(chat.prompt(env.reset().messages, env.tools)) for env in envs)
