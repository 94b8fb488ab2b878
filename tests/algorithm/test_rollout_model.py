"""Episodes of a real model: the trainer computes the same log-probs as were recorded while sampling."""

import functools
from typing import Any

import pytest
import torch

from grpo.chat.template import ChatFormat
from grpo.engine.engine import Engine
from grpo.logprobs import token_logprobs
from grpo.packing import pack
from grpo.rollout import roll_out
from grpo.types import Episode, Limits, Sampling
from tests.support.causal_models import library_copy
from tests.support.echo import CHAT, EchoScenario, requests
from tests.support.tiny import tiny_model, tiny_tokenizer

SAMPLINGS = {
    "plain": Sampling(),
    "hot": Sampling(temperature=1.7),
    "cold": Sampling(temperature=0.6),
    "top-k": Sampling(top_k=5),
    "top-p": Sampling(top_p=0.8),
    "min-p": Sampling(min_p=0.05),
    "all": Sampling(temperature=1.3, top_k=40, top_p=0.95, min_p=0.01),
}


@functools.cache
def model_episodes(sampling: Sampling, slots: int = 5) -> tuple[Any, list[Episode]]:
    """A random policy that ends about every tenth turn by itself; its environment answers each turn that it ends."""
    model = tiny_model(len(CHAT.tokenizer))
    scenarios = {"echo": EchoScenario(rounds=3)}
    engine = Engine(model, slots, max_length=500)
    return model, roll_out(engine, WORDY, scenarios, requests(3, 3), sampling, Limits(3, 30, 200))


WORDY = ChatFormat(tiny_tokenizer(), eos_ids=range(0, len(CHAT.tokenizer), 10))
"""Every tenth token ends a turn, so a random policy gets answers from its environment."""


def recomputed(model: Any, episodes: list[Episode], sampling: Sampling) -> torch.Tensor:
    packed = pack([episode.ids for episode in episodes], [episode.mask for episode in episodes])
    with torch.no_grad():
        return token_logprobs(model, packed, sampling)[0]


def recorded(episodes: list[Episode]) -> torch.Tensor:
    pairs = (zip(episode.logprobs, episode.mask, strict=True) for episode in episodes)
    return torch.tensor([logprob for pair in pairs for logprob, bit in pair if bit])


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_recomputed_log_probs_equal_those_recorded_while_sampling(sampling):
    """Invariant 2."""
    model, episodes = model_episodes(sampling)
    assert max(episode.turns for episode in episodes) == 3
    assert torch.allclose(recomputed(model, episodes, sampling), recorded(episodes), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampling", [SAMPLINGS["hot"], SAMPLINGS["top-p"]])
def test_log_probs_of_another_distribution_differ(sampling):
    """Negative control: scoring without the temperature or the cut is seen."""
    model, episodes = model_episodes(sampling)
    assert not torch.allclose(recomputed(model, episodes, Sampling()), recorded(episodes), atol=1e-2, rtol=0)


def test_slots_change_nothing_with_a_model():
    few, many = model_episodes(Sampling(), slots=2)[1], model_episodes(Sampling(), slots=9)[1]
    assert [episode.ids for episode in few] == [episode.ids for episode in many]
    assert torch.allclose(recorded(few), recorded(many), atol=1e-4, rtol=0)


def test_greedy_episodes_are_the_most_likely_tokens():
    model, episodes = model_episodes(Sampling(temperature=0.0))
    library = library_copy(model)
    for episode in episodes:
        with torch.no_grad():
            best = library(torch.tensor([episode.ids])).logits[0].argmax(-1).tolist()
        places = [place for place, bit in enumerate(episode.mask) if bit]
        assert [episode.ids[place] for place in places] == [best[place - 1] for place in places]
        assert set(episode.logprobs) == {0.0}
