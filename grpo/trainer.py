"""The training loop: GRPO and its variants, one step after the other.

    sample G episodes of each task -> rewards [N, G] -> advantages [N, G]
    -> log-probs under the reference and the old policy, if the loss asks for them
    -> passes over mini-batches (one optimizer step each), split into micro-batches under a token budget

The trainer takes values and callables: a policy, its optimizer, and `play`, which turns requests into episodes. It
knows no command, no report and no environment. `grpo.losses` has the terms of the loss, `grpo.config` the options.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.optim import Optimizer

from grpo.advantages import ADVANTAGES
from grpo.config import Options
from grpo.errors import NonFiniteError
from grpo.keys import stream_key, task_seed
from grpo.losses import AGGREGATIONS, KLS, LossSums, Tokens, kl_in_reward, merge, policy_loss
from grpo.packing import Packed, common_length, pack, pad
from grpo.parallel.protocol import Policy, Scorer
from grpo.parallel.ranks import Ranks
from grpo.types import Episode, Request, Sampling

MOST_SKIPPED = 3
"""Steps in a row whose gradient is not finite, before training stops."""


@dataclass
class Example:
    """One episode in the update, with K sampled tokens."""

    episode: Episode
    advantage: float
    old: Tensor | None = None
    """[K] log-probs before the step's first update; None where the update's own forward pass gives them."""
    reference: Tensor | None = None
    """[K] log-probs under the reference policy; None without a KL."""


@dataclass(frozen=True)
class StepResult:
    """What one step sampled and learned from."""

    step: int
    """Counted from 1."""
    learning_rate: float
    groups: list[list[Episode]]
    """All groups of siblings that were sampled; with dynamic sampling some of them are not trained on."""
    examples: list[Example]
    """The episodes that the loss was computed on, with their advantages."""
    sums: LossSums
    """Sums over the trained tokens; `grpo.run.metrics.update_metrics` makes means of them."""

    @property
    def episodes(self) -> list[Episode]:
        return [episode for group in self.groups for episode in group]


class Trainer:
    """Trains `policy` in place. Between steps its state is consistent whatever a step raised, Ctrl-C included."""

    def __init__(
        self,
        policy: Policy,
        optimizer: Optimizer,
        play: Callable[[Sequence[Request], Sampling], list[Episode]],
        scenarios: Sequence[str],
        options: Options,
        ranks: Ranks | None = None,
        stage: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> None:
        """`play`, usually `Actor.play`, returns an episode per request, in order; `stage` times each stage."""
        self.policy, self.optimizer, self.play, self.options, self.stage = policy, optimizer, play, options, stage
        self.scenarios, self.ranks = list(scenarios), ranks or Ranks()
        self.steps_done = 0
        self.skipped_in_a_row = 0

    def run(self, on_step: Callable[[StepResult], None]) -> None:
        """Trains up to `options.steps`, handing each step's result to `on_step`."""
        while self.steps_done < self.options.steps:
            on_step(self.step())

    def step(self) -> StepResult:
        """One training step. Raises NonFiniteError after several steps in a row without a finite gradient."""
        learning_rate = self.options.learning_rate_at(self.steps_done)
        try:
            with self.stage("rollout"):
                groups, trained = self.sample_groups()
            with self.stage("score"):
                examples = self.examples(trained)
            with self.stage("update"):
                sums = self.update(examples)
                self.policy.sync_rollout_model()
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        self.steps_done += 1
        result = StepResult(self.steps_done, learning_rate, groups, examples, sums)
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if sums.get("skipped_steps") else 0
        if self.skipped_in_a_row == MOST_SKIPPED:
            raise NonFiniteError(MOST_SKIPPED, result)
        return result

    def sample_groups(self) -> tuple[list[list[Episode]], list[list[Episode]]]:
        """All groups that were sampled, and those to train on.

        With dynamic sampling (DAPO, arXiv 2503.14476) only groups whose rewards differ are trained on. The others are
        sampled again from new tasks of the same scenario, at most `options.dynamic_sampling` times.
        """
        places = list(range(self.options.prompts_per_step))
        sampled: list[list[Episode]] = []
        trained: dict[int, list[Episode]] = {}
        for attempt in range(1 + self.options.dynamic_sampling):
            groups = self.rollout_groups(places, attempt)
            sampled += groups
            for place, group in zip(places, groups, strict=True):
                if not self.options.dynamic_sampling or has_variance(group):
                    trained[place] = group
            places = [place for place in places if place not in trained]
            if not places:
                break
        return sampled, [trained[place] for place in sorted(trained)]

    def rollout_groups(self, places: Sequence[int], attempt: int) -> list[list[Episode]]:
        """A group of siblings for each place among the step's tasks. Tasks and random streams depend on (seed, step,
        place, attempt) alone."""
        o, requests = self.options, []
        for place in places:
            task = attempt * o.prompts_per_step + place
            scenario = self.scenarios[(self.steps_done * o.prompts_per_step + place) % len(self.scenarios)]
            seed = task_seed(o.seed, self.steps_done, task)
            for sibling in range(o.group_size):
                key = stream_key(o.seed, self.steps_done, task, sibling)
                requests.append(Request(scenario, "train", seed, task, sibling, key))
        episodes = self.play(requests, o.sampling)
        return [episodes[start : start + o.group_size] for start in range(0, len(episodes), o.group_size)]

    def examples(self, groups: Sequence[Sequence[Episode]]) -> list[Example]:
        """The episodes of some groups with their advantages, and the other policies' log-probs that the loss needs."""
        if not groups:
            return []
        o = self.options
        examples = [Example(episode, 0.0) for group in groups for episode in group]
        rewards = torch.tensor([[episode.reward for episode in group] for group in groups], dtype=torch.float64)
        if o.kl == "k1_reward":
            self.score(self.policy.reference, examples, "reference")
            rewards = self.rewards_less_kl(rewards, examples)
        for example, advantage in zip(examples, ADVANTAGES[o.advantage](rewards).flatten().tolist(), strict=True):
            example.advantage = advantage
        examples = [example for example in examples if any(example.episode.mask)]
        if o.mask_truncated:
            examples = [example for example in examples if not example.episode.stop_reason.truncated]
        if o.kl in KLS:
            self.score(self.policy.reference, examples, "reference")
        if o.optimizer_steps > 1:
            self.score(self.policy, [example for example in examples if self.has_gradient(example)], "old")
        return examples

    def rewards_less_kl(self, rewards: Tensor, examples: Sequence[Example]) -> Tensor:
        """rewards [N, G] less the KL of the policy that sampled to the reference; examples are the N * G episodes."""
        sampled = torch.tensor([value for example in examples for value in example.episode.sampled_logprobs])
        scores = [torch.empty(0) if example.reference is None else example.reference.cpu() for example in examples]
        counts = torch.tensor([sum(example.episode.mask) for example in examples])
        index = torch.arange(len(examples)).repeat_interleave(counts)
        return kl_in_reward(rewards.flatten(), sampled, torch.cat(scores), index, self.options.kl_coef).view_as(rewards)

    @torch.no_grad()
    def score(self, policy: Scorer | None, examples: Sequence[Example], name: str) -> None:
        """Sets field `name` of each example to the log-probs of its sampled tokens under `policy`."""
        assert policy is not None

        def logprobs(batch: list[Example]) -> list[Tensor]:
            packed = self.pack(batch)
            return [part.cpu() for part in policy(packed, self.options.sampling)[0].split(packed.counts)]

        batches = self.micro_batches([example for example in examples if any(example.episode.mask)])
        for batch, parts in zip(batches, self.policy.map(batches, logprobs), strict=True):
            for example, part in zip(batch, parts, strict=True):
                setattr(example, name, part.to(self.ranks.device))

    def micro_batches(self, examples: list[Example]) -> list[list[Example]]:
        """Examples in parts under the token budget, small enough that every rank has one."""
        total = sum(len(example.episode.ids) for example in examples)
        budget = min(self.options.token_budget, total // self.ranks.size)
        return list(micro_batches(examples, budget, self.policy.shares_prefixes))

    def update(self, examples: Sequence[Example]) -> LossSums:
        """All passes over the step's examples; the sums of their metrics."""
        groups = [list(group) for _, group in groupby(examples, key=lambda example: example.episode.group)]
        shuffle = random.Random(f"{self.options.seed}/{self.steps_done}").shuffle
        sums: LossSums = {}
        for _ in range(self.options.passes):
            shuffle(groups)
            for share in range(self.options.minibatches):
                part = groups[share :: self.options.minibatches]
                sums = merge(sums, self.optimizer_step([example for group in part for example in group]))
        return sums

    def optimizer_step(self, examples: Sequence[Example]) -> LossSums:
        """One optimizer step on the mean loss over `examples`. The weights stay as they are if no example has a
        gradient, and if the gradient is not finite, which is counted."""
        o = self.options
        lengths = torch.tensor([sum(example.episode.mask) for example in examples])
        _, normaliser = AGGREGATIONS[o.aggregation](lengths, o.loss_constant)
        active = [example for example in examples if self.has_gradient(example)]
        if not active:
            return {}
        rank_sums: LossSums = {}
        for batch, counts in self.policy.share(self.micro_batches(active)):
            loss, batch_sums = policy_loss(self.tokens(batch), o.loss, normaliser)
            self.policy.backward(loss * counts)
            rank_sums = merge(rank_sums, batch_sums) if counts else rank_sums
        sums: LossSums = functools.reduce(merge, self.ranks.gather(rank_sums))
        norm = self.policy.clip(o.grad_clip)
        if not norm.isfinite():
            self.optimizer.zero_grad(set_to_none=True)
            return {"skipped_steps": 1.0}
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate_at(self.steps_done)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return sums | {"grad_norm": float(norm), "grad_norm_max": float(norm), "optimizer_steps": 1.0}

    def has_gradient(self, example: Example) -> bool:
        """Whether an example can have a gradient. One that cannot still counts in the normaliser."""
        return example.advantage != 0 or self.options.kl in KLS or self.options.entropy_coef > 0

    def tokens(self, batch: Sequence[Example]) -> Tokens:
        """One forward pass over a micro-batch, and the loss's other inputs."""
        packed = self.pack(batch)
        current, entropy = self.policy(packed, self.options.sampling)
        counts = torch.tensor(packed.counts, device=current.device)
        references = [example.reference for example in batch if example.reference is not None]
        olds = [example.old for example in batch if example.old is not None]
        return Tokens(
            logprobs=current,
            entropy=entropy,
            old=torch.cat(olds) if olds else current.detach(),
            sampled=torch.tensor([value for example in batch for value in example.episode.sampled_logprobs]).to(
                current.device
            ),
            reference=torch.cat(references) if references else None,
            episode=torch.arange(len(batch), device=current.device).repeat_interleave(counts),
            advantages=torch.tensor([example.advantage for example in batch], device=current.device),
        )

    def pack(self, batch: Sequence[Example]) -> Packed:
        layout = pack if self.policy.shares_prefixes else pad
        packed = layout([example.episode.ids for example in batch], [example.episode.mask for example in batch])
        return packed.to(self.ranks.device)


def has_variance(group: Sequence[Episode]) -> bool:
    """Whether siblings' rewards differ; a group of equal rewards teaches nothing."""
    return any(episode.reward != group[0].reward for episode in group)


def micro_batches(examples: Iterable[Example], token_budget: int, shared: bool = True) -> Iterator[list[Example]]:
    """Splits examples so that each part has at most `token_budget` tokens, without padding; a longer episode is alone.

    Neighbours share prefixes, which packing computes once, so an example costs what it adds to its neighbour, if
    `shared`.
    """
    batch: list[Example] = []
    spent = 0
    for example in sorted(examples, key=lambda example: example.episode.ids):
        before = common_length(batch[-1].episode.ids, example.episode.ids) if batch and shared else 0
        cost = len(example.episode.ids) - before
        if batch and spent + cost > token_budget:
            yield batch
            batch, spent, cost = [], 0, len(example.episode.ids)
        batch.append(example)
        spent += cost
    if batch:
        yield batch
