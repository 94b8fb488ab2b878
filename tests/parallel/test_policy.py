"""Precision, recomputation and layout change the cost of training, not its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from grpo.errors import UserError
from grpo.models.recompute import decoder_layers
from grpo.parallel.launch import launch
from grpo.parallel.ranks import Ranks
from grpo.parallel.sharding import device_mesh
from tests.support.sharding import gradients, steps, write_results
from tests.support.training import assert_close, gradient, random_examples, run, same, trainer, weights

# --- memory and arithmetic -----------------------------------------------------------------------------------------


def test_checkpointing_computes_layers_again_and_the_same_gradient() -> None:
    def calls(**changes: Any) -> int:
        one, modules = trainer(**changes), list[Any]()
        for layer in decoder_layers(one.model):
            layer.mlp.register_forward_pre_hook(lambda module, _: modules.append(module))
        one.optimizer_step(random_examples(count=2))
        return len(modules)

    assert calls(gradient_checkpointing=True) == 2 * calls()
    examples = random_examples()
    assert_close(gradient(examples, gradient_checkpointing=True), gradient(examples))


def test_bf16_computes_with_fp32_weights_behind_it() -> None:
    one = trainer(precision="bf16", learning_rate=1e-2)
    before = weights(one)
    log = run(one)
    assert {weight.dtype for weight in one.model.parameters()} == {torch.float32}
    assert {weight.dtype for weight in one.policy.rollout_model.parameters()} == {torch.bfloat16}
    assert not same(before, weights(one))
    for trained, copied in zip(one.model.parameters(), one.policy.rollout_model.parameters(), strict=True):
        assert torch.equal(trained.bfloat16(), copied)
    gaps = [abs(step["logprob_gap"]) for step in log]
    assert 0 < max(gaps) < 0.02, "the two differ by bf16's rounding"
    assert all(abs(step["logprob_gap"]) < 1e-5 for step in run(trainer()))


def test_the_rollout_model_rotates_tokens_as_the_trained_one_does() -> None:
    """Half precision is for weights: rotary frequencies in it would be off by up to 0.4 %."""
    one = trainer(precision="bf16")
    frequencies = [model.base_model.rotary_emb.inv_freq for model in (one.model, one.policy.rollout_model)]
    assert frequencies[1].dtype == torch.float32 and torch.equal(*frequencies)


def test_one_model_is_trained_and_plays_where_that_is_possible() -> None:
    one = trainer()
    assert one.policy.rollout_model is one.model and one.actor.engine.model is one.model


# --- adapters ------------------------------------------------------------------------------------------------------


def test_adapters_alone_are_trained_and_the_reference_is_the_model_below_them() -> None:
    one = trainer(lora_rank=4, kl="k3", kl_coef=0.1, learning_rate=0.05)
    base = {name: weight.clone() for name, weight in one.model.named_parameters() if "lora" not in name}
    merged = one.policy.weights()
    first, second = run(one)
    for name, weight in one.model.named_parameters():
        assert torch.equal(weight, base[name]) if name in base else weight.requires_grad
    assert first["kl_reference"] == pytest.approx(0, abs=1e-9) and second["kl_reference"] > 1e-6
    assert any(not torch.equal(value, merged[name]) for name, value in one.policy.weights().items())


def test_larger_alpha_moves_the_policy_further() -> None:
    logs = [run(trainer(lora_rank=4, lora_alpha=alpha, passes=2)) for alpha in (8.0, 64.0)]
    assert abs(logs[0][0]["ratio_max"] - 1) < abs(logs[1][0]["ratio_max"] - 1)


# --- several ranks -------------------------------------------------------------------------------------------------


def test_mapped_work_comes_back_in_order_and_sharded_ranks_make_equally_many_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items, policies = list(range(8)), [trainer().policy for _ in range(3)]
    for rank, one in enumerate(policies):
        one.ranks = Ranks(rank, 3)
    assert [[item for item, _ in one.share(items)] for one in policies] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    for one in policies:
        one.sharded = True
    assert [one.share(items) for one in policies][2] == [(2, True), (5, True), (0, False)]
    monkeypatch.setattr(
        Ranks, "gather", lambda self, value: [[i * 10 for i in one.ranks.share(items)] for one in policies]
    )
    assert policies[1].map(items, lambda item: item * 10) == [item * 10 for item in items]


BF16: dict[str, Any] = {"precision": "bf16", "kl": "k3", "kl_coef": 0.1}
REPLICATED: list[dict[str, Any]] = [
    {"prompts_per_step": 1},
    {"kl": "k3", "kl_coef": 0.1, "minibatches": 2, "passes": 2},
    {"kl": "k1_reward", "kl_coef": 0.1, "dynamic_sampling": 1},
]
"""A rank without a group of its own, scoring before the update, and a KL in the reward."""
COUNTS = [8, 1]
"""Episodes of an update: enough for all ranks, and too few."""


def results_of(size: int, folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Gradients, replicated and sharded, and runs on `size` ranks."""
    out = folder / "results"
    assert launch(size, write_results, str(out), COUNTS, [{"shard": "none"}, {"shard": "full"}], runs) == 0
    results: dict[str, Any] = torch.load(out)
    return results


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(2, tmp_path_factory.mktemp("two"), [{"shard": "full"}, {**BF16, "shard": "full"}, *REPLICATED])


@pytest.fixture(scope="module")
def four_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As two nodes of two ranks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_WORLD_SIZE", "2")
        return results_of(4, tmp_path_factory.mktemp("four"), [{"shard": "hybrid"}])


@pytest.mark.parametrize("ranks", ["two_ranks", pytest.param("four_ranks", marks=pytest.mark.full)])
def test_the_gradient_does_not_depend_on_the_ranks(ranks: str, request: pytest.FixtureRequest) -> None:
    """1e-5 of the norm, sharded or not, also where some ranks have nothing to do."""
    for by_count in request.getfixturevalue(ranks)["gradients"]:
        for alone, together in zip(gradients(COUNTS, {}, Ranks()), by_count, strict=True):
            assert (together - alone).norm() < 1e-5 * alone.norm()


def test_that_comparison_sees_an_episode_counted_twice() -> None:
    alone, other = gradients([8, 7], {}, Ranks())
    assert (other - alone).norm() > 1e-2 * alone.norm()


def test_sharded_ranks_learn_what_one_process_learns(two_ranks: dict[str, Any]) -> None:
    alone, together = steps({}, Ranks()), two_ranks["runs"][0]
    (total,) = alone["stored"]
    assert sum(together["stored"]) == total and max(together["stored"]) < 0.6 * total
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(together["weights"][name], weight, rtol=1e-3, atol=1e-4)
        assert torch.equal(together["rollout_model"][name], together["weights"][name])
    for one, two in zip(alone["metrics"], together["metrics"], strict=True):
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("case", range(len(REPLICATED)))
def test_replicated_ranks_learn_what_one_process_learns(case: int, two_ranks: dict[str, Any]) -> None:
    alone, together = steps(REPLICATED[case], Ranks()), two_ranks["runs"][2 + case]
    assert any(step["trained_tokens"] for step in alone["metrics"])
    for one, two in zip(alone["metrics"], together["metrics"], strict=True):
        for exact in ("scenarios", "sampled_tokens", "trained_tokens", "optimizer_steps", "stop_reasons"):
            assert two[exact] == one[exact]
        assert two.keys() == one.keys()
        for name in one.keys() & {"loss", "grad_norm", "entropy", "kl_old", "kl_reference", "ratio_max"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6)
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(together["weights"][name], weight, rtol=1e-3, atol=1e-4)


def test_sharded_ranks_compute_in_bf16_with_a_reference(two_ranks: dict[str, Any]) -> None:
    alone, together = steps(BF16, Ranks()), two_ranks["runs"][1]
    for name, weight in together["weights"].items():
        assert weight.dtype == torch.float32 and torch.equal(together["rollout_model"][name], weight.bfloat16())
    first, other = alone["metrics"][0], together["metrics"][0]
    assert other["grad_norm"] == pytest.approx(first["grad_norm"], rel=0.05)
    assert together["metrics"][0]["kl_reference"] < together["metrics"][1]["kl_reference"]


@pytest.mark.full
def test_hybrid_sharding_splits_within_nodes(four_ranks: dict[str, Any]) -> None:
    alone, together = steps({}, Ranks()), four_ranks["runs"][0]
    (total,) = alone["stored"]
    assert sum(together["stored"][:2]) == sum(together["stored"][2:]) == total
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(together["weights"][name], weight, rtol=1e-3, atol=1e-4)


def test_nodes_of_unequal_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="give shard full"):
        device_mesh("hybrid", Ranks(0, 3))
