"""The random stream is a function of key and place, and tokens follow the distribution whose log-prob is recorded."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from grpo.keys import stream_key
from grpo.sampling import cut_logits, sample, uniform
from grpo.types import Sampling
from tests.support.tiers import examples

samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.05]),
    top_k=st.sampled_from([0, 1, 5, 100]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)


def random_logits(seed: int, rows: int = 16, vocabulary: int = 31) -> Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


def test_uniforms_are_splitmix64():
    """The first words of the reference implementation (prng.di.unimi.it/splitmix64.c) for two seeds."""
    words = {1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423], 0: [0xE220A8397B1DCDAF]}
    for seed, outputs in words.items():
        keys = torch.full((len(outputs),), seed)
        numbers = uniform(keys, torch.arange(len(outputs)))
        assert numbers.tolist() == [(word >> 11) * 2.0**-53 for word in outputs]


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 10**6)), min_size=1, max_size=20))
@settings(max_examples=examples(50), deadline=None)
def test_uniforms_belong_to_key_and_place_alone(pairs):
    keys, places = (torch.tensor(column) for column in zip(*pairs, strict=True))
    together = uniform(keys, places)
    assert ((together >= 0) & (together < 1)).all()
    alone = torch.cat([uniform(keys[i : i + 1], places[i : i + 1]) for i in reversed(range(len(pairs)))])
    assert torch.equal(together, alone.flip(0))


def test_uniforms_are_uniform_along_keys_and_along_places():
    keys = torch.tensor([stream_key(7, 3, 11, sibling) for sibling in range(4000)])
    for values in (
        uniform(keys, torch.full((4000,), 5)),
        uniform(torch.full((4000,), stream_key(1, 2, 3, 4)), torch.arange(4000)),
    ):
        counts = torch.histc(values.float(), 20, 0, 1)
        assert chi_square(counts, torch.full((20,), 200.0)) < 50  # 19 degrees of freedom: 1 in 10,000
        assert abs(torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1]) < 0.06


@given(st.tuples(*[st.integers(0, 2**48)] * 4), st.integers(0, 3), st.integers(1, 2**20))
@settings(max_examples=examples(100), deadline=None)
def test_stream_keys_differ_with_each_number(numbers, place, difference):
    other = list(numbers)
    other[place] += difference
    key = stream_key(*numbers)
    assert key == stream_key(*numbers) != stream_key(*other)
    assert 0 <= key < 2**63


def test_stream_keys_tell_the_numbers_apart():
    assert len({stream_key(*numbers) for numbers in ((1, 2, 3, 4), (2, 1, 3, 4), (4, 3, 2, 1), (0, 0, 0, 0))}) == 4


@given(samplings, st.integers(0, 1000))
@settings(max_examples=examples(100), deadline=None)
def test_cut_is_the_librarys(sampling, seed):
    logits = random_logits(seed)
    expected = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        expected = TopKLogitsWarper(sampling.top_k)(None, expected)
    if sampling.top_p < 1:
        expected = TopPLogitsWarper(sampling.top_p)(None, expected)
    if sampling.min_p:
        expected = MinPLogitsWarper(sampling.min_p)(None, expected)
    assert torch.equal(cut_logits(logits, sampling), expected)


def test_cut_keeps_the_tokens_it_must_keep():
    logits, keep = random_logits(0), torch.arange(16)
    cut = cut_logits(logits, Sampling(top_k=1), keep=keep)
    assert torch.isfinite(cut.gather(1, keep[:, None])).all()
    assert (torch.isfinite(cut).sum(-1) <= 2).all()


def test_cut_passes_gradients_to_the_remaining_tokens():
    logits = random_logits(1).requires_grad_()
    cut = cut_logits(logits, Sampling(temperature=0.5, top_k=3))
    cut[torch.isfinite(cut)].sum().backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.where(torch.isfinite(cut), 2.0, 0.0))


@given(samplings, st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1 - 2.0**-53]))
@settings(max_examples=examples(100), deadline=None)
def test_recorded_logprob_is_that_of_the_cut_distribution(sampling, seed, number):
    logits = random_logits(seed)
    ids, logprobs = sample(logits, torch.full((16,), number, dtype=torch.float64), sampling)
    expected = cut_logits(logits, sampling).log_softmax(-1).gather(1, ids[:, None])[:, 0]
    assert torch.isfinite(logprobs).all()
    assert torch.equal(logprobs, expected)


def test_extreme_uniforms_take_the_first_and_the_last_token_that_can_be_drawn():
    impossible = float("-inf")
    logits = torch.tensor([[impossible, 0.0, 1.0, impossible, 0.5, impossible]]).repeat(3, 1)
    ids, _ = sample(logits, torch.tensor([0.0, 1 - 2.0**-53, 1.0], dtype=torch.float64), Sampling())
    assert ids.tolist() == [1, 4, 4]


def test_inverse_transform():
    """Each token has its interval of [0, 1), in order; the uniform falls into one of them."""
    probability = torch.tensor([0.1, 0.2, 0.3, 0.4])
    numbers = torch.tensor([0.05, 0.15, 0.29, 0.31, 0.59, 0.61, 0.99], dtype=torch.float64)
    ids, logprobs = sample(probability.log().expand(7, 4), numbers, Sampling())
    assert ids.tolist() == [0, 1, 1, 2, 2, 3, 3]
    torch.testing.assert_close(logprobs, probability.log()[ids])


def chi_square(counts: Tensor, expected: Tensor) -> float:
    possible = expected > 0
    if counts[~possible].any():
        return math.inf
    return float(((counts - expected)[possible] ** 2 / expected[possible]).sum())


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, top_k=5), Sampling(1.5, top_p=0.8, min_p=0.05)])
def test_draws_follow_the_distribution(sampling):
    """Chi-square on seven tokens; a sampler with another temperature or without the cut is caught by it."""
    draws = 20_000
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, 1.2, -0.5, 0.8])
    numbers = uniform(torch.full((draws,), stream_key(0, 1, 2, 3)), torch.arange(draws))

    def statistic(drawn_with: Sampling) -> float:
        ids, _ = sample(logits.expand(draws, 7), numbers, drawn_with)
        expected = cut_logits(logits[None], sampling).softmax(-1)[0] * draws
        return chi_square(torch.bincount(ids, minlength=7).float(), expected)

    assert statistic(sampling) < 28  # 6 degrees of freedom: 1 in 10,000
    assert statistic(Sampling(sampling.temperature * 1.1, sampling.top_p, sampling.top_k, sampling.min_p)) > 28
    if sampling != Sampling():
        assert statistic(Sampling(sampling.temperature)) > 28


def test_temperature_zero_takes_the_most_likely_token():
    logits = torch.tensor([[0.0, 3.0, 3.0], [2.0, 1.0, 0.0]])
    ids, logprobs = sample(logits, torch.tensor([0.9, 0.9]), Sampling(temperature=0.0))
    assert ids.tolist() == [1, 0]
    assert logprobs.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="temperature 0"):
        cut_logits(logits, Sampling(temperature=0.0))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(top_p=0.5), Sampling(temperature=0.0)], ids=["plain", "cut", "greedy"]
)
def test_logits_that_are_no_distribution_have_no_log_prob(value, sampling):
    logits = random_logits(0, vocabulary=130)
    logits[3] = value
    ids, logprobs = sample(logits, torch.full((len(logits),), 0.5), sampling)
    assert logprobs.isnan().nonzero().tolist() == [[3]]
    assert all(0 <= id < 130 for id in ids.tolist())
