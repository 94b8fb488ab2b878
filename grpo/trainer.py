"""The training loop: GRPO and its variants, one step after the other.

    sample G episodes of each task -> rewards [N, G] -> advantages [N, G]
    -> log-probs under the reference and the old policy, where the loss asks for them
    -> passes over mini-batches (one optimizer step each), split into micro-batches under a token budget
    -> metrics

What a term of the loss means stands in `grpo.losses`; which terms there are stands in `grpo.config.Options`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grpo.advantages import ADVANTAGES
from grpo.config import Options
from grpo.logprobs import Packed, common_length, pack, pad
from grpo.losses import AGGREGATIONS, KLS, LossConfig, Metrics, Tokens, kl_in_reward, merge, policy_loss
from grpo.models.recurrence import shares_prefixes
from grpo.parallel.optimizer import adamw, rate_factor
from grpo.parallel.policy import Learner, Policy
from grpo.run.metrics import Stopwatch, episode_metrics, has_variance, peak_memory, update_metrics
from grpo.sampling import row_key
from grpo.types import Episode, Request

if TYPE_CHECKING:
    from grpo.parallel.actor import Player

Report = Callable[[dict[str, Any], list[Episode]], None]
MOST_SKIPPED = 3
"""Steps in a row whose gradient is not finite, before training stops."""


class NonFiniteError(RuntimeError):
    """Losses or gradients stayed infinite or NaN; carries the last step's metrics and episodes."""

    def __init__(self, metrics: dict[str, Any], episodes: list[Episode]) -> None:
        super().__init__(f"the gradient was not finite in {MOST_SKIPPED} steps in a row")
        self.metrics, self.episodes = metrics, episodes


@dataclass
class Row:
    """One episode in the update, with K sampled tokens."""

    episode: Episode
    advantage: float
    old: Tensor | None = None
    """[K] log-probs before the step's first update; None where the update's own forward pass gives them."""
    reference: Tensor | None = None
    """[K] log-probs under the reference policy; None without a KL."""


class Trainer:
    """Trains `model` in place. Between steps its state is consistent whatever a step raised, Ctrl-C included."""

    def __init__(self, player: Player, options: Options) -> None:
        self.player, self.options, self.ranks = player, options, player.ranks
        self.model = player.checkpoint.model
        self.loss = LossConfig(**{one.name: getattr(options, one.name) for one in dataclasses.fields(LossConfig)})
        self.learner = Learner(self.model, options, self.ranks)
        if self.learner.acting is not player.engine.model:
            player.engine.take(self.learner.acting)
        o, betas = options, (options.beta1, options.beta2)
        self.optimizer = adamw(self.learner, o.learning_rate, betas, o.adam_epsilon, o.weight_decay, o.optimizer_states)
        self.steps_done = 0
        self.skipped_in_a_row = 0

    def run(self, report: Report) -> None:
        """Trains up to `options.steps`, handing each step's metrics and episodes to `report`."""
        while self.steps_done < self.options.steps:
            report(*self.step())

    def step(self) -> tuple[dict[str, Any], list[Episode]]:
        """One step: its metrics, deterministic but for `timing` and `memory`, and the episodes it sampled."""
        watch = Stopwatch()
        try:
            with watch.stage("rollout"):
                sampled, trained = self.sample_groups()
            with watch.stage("score"):
                rows = self.rows(trained)
            with watch.stage("update"):
                totals = self.update(rows)
                self.learner.publish()
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        metrics: dict[str, Any] = {"step": self.steps_done + 1, "learning_rate": self.learning_rate()}
        metrics |= episode_metrics(sampled) | update_metrics(totals)
        tokens = {"rollout": metrics["sampled_tokens"], "update": metrics["trained_tokens"]}
        tokens["step"] = metrics["sampled_tokens"]
        metrics |= {"timing": watch.report(tokens), "memory": peak_memory()}
        self.steps_done += 1
        episodes = [episode for group in sampled for episode in group]
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if metrics["skipped_steps"] else 0
        if self.skipped_in_a_row == MOST_SKIPPED:
            raise NonFiniteError(metrics, episodes)
        return metrics, episodes

    # --- episodes --------------------------------------------------------------------------------------------------

    def sample_groups(self) -> tuple[list[list[Episode]], list[list[Episode]]]:
        """All groups that were sampled, and those to train on.

        With dynamic sampling (DAPO, arXiv 2503.14476) only groups whose rewards differ are trained on; the slots of the
        others are sampled again from new tasks of the same scenario, at most `options.dynamic_sampling` times.
        """
        slots = list(range(self.options.prompts_per_step))
        sampled: list[list[Episode]] = []
        trained: dict[int, list[Episode]] = {}
        for attempt in range(1 + self.options.dynamic_sampling):
            groups = self.rollout_groups(slots, attempt)
            sampled += groups
            kept = {
                slot: group
                for slot, group in zip(slots, groups, strict=True)
                if not self.options.dynamic_sampling or has_variance(group)
            }
            trained |= kept
            slots = [slot for slot in slots if slot not in kept]
            if not slots:
                break
        return sampled, [trained[slot] for slot in sorted(trained)]

    def rollout_groups(self, slots: Sequence[int], attempt: int) -> list[list[Episode]]:
        """One group of siblings for each slot. Tasks and random streams depend on (seed, step, slot, attempt) alone."""
        o, names, requests = self.options, list(self.player.scenarios), []
        for slot in slots:
            task = attempt * o.prompts_per_step + slot
            scenario = names[(self.steps_done * o.prompts_per_step + slot) % len(names)]
            seed = task_seed(o.seed, self.steps_done, task)
            for sibling in range(o.group_size):
                key = row_key(o.seed, self.steps_done, task, sibling)
                requests.append(Request(scenario, "train", seed, task, sibling, key))
        episodes = self.player.play(requests, o.sampling)
        return [episodes[start : start + o.group_size] for start in range(0, len(episodes), o.group_size)]

    def rows(self, groups: Sequence[Sequence[Episode]]) -> list[Row]:
        """Groups of siblings with their advantages, and whatever log-probs the loss needs beside the policy's own."""
        if not groups:
            return []
        o = self.options
        rows = [Row(episode, 0.0) for group in groups for episode in group]
        rewards = torch.tensor([[episode.reward for episode in group] for group in groups], dtype=torch.float64)
        if o.kl == "k1_reward":
            self.score(self.learner.reference, rows, "reference")
            rewards = self.rewards_less_kl(rewards, rows)
        for row, advantage in zip(rows, ADVANTAGES[o.advantage](rewards).flatten().tolist(), strict=True):
            row.advantage = advantage
        rows = [row for row in rows if any(row.episode.mask)]
        if o.mask_truncated:
            rows = [row for row in rows if not row.episode.stop_reason.truncated]
        if o.kl in KLS:
            self.score(self.learner.reference, rows, "reference")
        if o.optimizer_steps > 1:
            self.score(self.learner, [row for row in rows if self.acts(row)], "old")
        return rows

    def rewards_less_kl(self, rewards: Tensor, rows: Sequence[Row]) -> Tensor:
        """rewards [N, G] less the KL of the policy that sampled to the reference; rows are the N * G episodes."""
        sampled = torch.cat([sampled_logprobs(row.episode) for row in rows])
        reference = torch.cat([torch.empty(0) if row.reference is None else row.reference.cpu() for row in rows])
        index = torch.arange(len(rows)).repeat_interleave(torch.tensor([sum(row.episode.mask) for row in rows]))
        return kl_in_reward(rewards.flatten(), sampled, reference, index, self.options.kl_coef).view_as(rewards)

    @torch.no_grad()
    def score(self, policy: Policy | None, rows: Sequence[Row], name: str) -> None:
        """Sets field `name` of each row to the log-probs of its sampled tokens under `policy`."""
        assert policy is not None

        def values(batch: list[Row]) -> list[Tensor]:
            packed = self.pack(batch)
            return [part.cpu() for part in policy(packed, self.options.sampling)[0].split(packed.counts)]

        batches = self.micro_batches([row for row in rows if any(row.episode.mask)])
        for batch, parts in zip(batches, self.learner.dealt(batches, values), strict=True):
            for row, part in zip(batch, parts, strict=True):
                setattr(row, name, part.to(self.ranks.device))

    def micro_batches(self, rows: list[Row]) -> list[list[Row]]:
        """Rows in parts under the token budget, small enough that every rank has one."""
        total = sum(len(row.episode.ids) for row in rows)
        budget = min(self.options.token_budget, total // self.ranks.size)
        return list(micro_batches(rows, budget, shared=shares_prefixes(self.model)))

    # --- the update ------------------------------------------------------------------------------------------------

    def update(self, rows: Sequence[Row]) -> Metrics:
        """All passes over the step's rows; the totals of their metrics."""
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row.episode.group)]
        shuffle = random.Random(f"{self.options.seed}/{self.steps_done}").shuffle
        totals: Metrics = {}
        for _ in range(self.options.passes):
            shuffle(groups)
            for share in range(self.options.minibatches):
                part = groups[share :: self.options.minibatches]
                totals = merge(totals, self.optimizer_step([row for group in part for row in group]))
        return totals

    def optimizer_step(self, rows: Sequence[Row]) -> Metrics:
        """One optimizer step on the mean loss over `rows`. Where no row has a gradient, the weights stay as they are.

        The same where the gradient is not finite: the step is skipped and counted.
        """
        o = self.options
        lengths = torch.tensor([sum(row.episode.mask) for row in rows])
        _, normaliser = AGGREGATIONS[o.aggregation](lengths, o.loss_constant)
        acting = [row for row in rows if self.acts(row)]
        if not acting:
            return {}
        own: Metrics = {}
        for batch, counts in self.learner.share(self.micro_batches(acting)):
            loss, metrics = policy_loss(self.tokens(batch), self.loss, normaliser)
            self.learner.backward(loss * counts)
            own = merge(own, metrics) if counts else own
        totals: Metrics = functools.reduce(merge, self.ranks.together(own))
        norm = self.learner.clip(o.grad_clip)
        if not norm.isfinite():
            self.optimizer.zero_grad(set_to_none=True)
            return {"skipped_steps": 1.0}
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return totals | {"grad_norm": float(norm), "grad_norm_max": float(norm), "optimizer_steps": 1.0}

    def acts(self, row: Row) -> bool:
        """Whether a row can have a gradient. One that cannot still counts in the normaliser."""
        return row.advantage != 0 or self.options.kl in KLS or self.options.entropy_coef > 0

    def tokens(self, batch: Sequence[Row]) -> Tokens:
        """One forward pass over a micro-batch, and what the loss needs beside it."""
        packed = self.pack(batch)
        current, entropy = self.learner(packed, self.options.sampling)
        counts = torch.tensor(packed.counts, device=current.device)
        references = [row.reference for row in batch if row.reference is not None]
        olds = [row.old for row in batch if row.old is not None]
        return Tokens(
            logprobs=current,
            entropy=entropy,
            old=torch.cat(olds) if olds else current.detach(),
            sampled=torch.cat([sampled_logprobs(row.episode) for row in batch]).to(current.device),
            reference=torch.cat(references) if references else None,
            row=torch.arange(len(batch), device=current.device).repeat_interleave(counts),
            advantages=torch.tensor([row.advantage for row in batch], device=current.device),
        )

    def pack(self, batch: Sequence[Row]) -> Packed:
        layout = pack if shares_prefixes(self.model) else pad
        packed = layout([row.episode.ids for row in batch], [row.episode.mask for row in batch])
        return packed.to(self.ranks.device)

    def learning_rate(self) -> float:
        o = self.options
        return o.learning_rate * rate_factor(self.steps_done, o.steps, o.warmup_steps, o.schedule)


def task_seed(seed: int, step: int, task: int) -> int:
    """The task that a run's step shows, below 2^48: spread out, so that runs with other seeds see other tasks."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}/{task}".encode(), digest_size=6).digest(), "big")


def sampled_logprobs(episode: Episode) -> Tensor:
    """[K] as the sampler recorded them."""
    return torch.tensor([value for value, bit in zip(episode.logprobs, episode.mask, strict=True) if bit])


def micro_batches(rows: Iterable[Row], token_budget: int, shared: bool = True) -> Iterator[list[Row]]:
    """Splits rows so that each part has at most `token_budget` tokens, padding apart; a longer episode stands alone.

    Neighbours share prefixes, which packing computes once, so a row costs what it adds to the one before, if `shared`.
    """
    batch: list[Row] = []
    spent = 0
    for row in sorted(rows, key=lambda row: row.episode.ids):
        before = common_length(batch[-1].episode.ids, row.episode.ids) if batch and shared else 0
        cost = len(row.episode.ids) - before
        if batch and spent + cost > token_budget:
            yield batch
            batch, spent, cost = [], 0, len(row.episode.ids)
        batch.append(row)
        spent += cost
    if batch:
        yield batch
