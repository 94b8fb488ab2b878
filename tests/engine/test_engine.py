"""The engine gives the logits of a forward pass over the sequence, however slots share, grow, wait and reopen."""

import random

import pytest
import torch

from grpo.engine.engine import Engine
from grpo.errors import UnsupportedModel
from grpo.keys import stream_key
from grpo.logprobs import token_logprobs
from grpo.packing import pack
from grpo.sampling import sample, uniform
from grpo.types import Sampling
from tests.support.causal_models import MODELS, VOCABULARY, library_copy, library_model, next_logits, random_model
from tests.support.faults import FAULTS
from tests.support.shadow import MAX_LENGTH, Shadow, play, small_pieces


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    small_pieces(monkeypatch)


@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_those_of_a_forward_pass(kind):
    assert play(Shadow(random_model(kind), 6)) < 5e-5


@pytest.mark.parametrize("fault", [name for name in FAULTS if name.startswith("engine:")])
def test_the_comparison_sees_a_fault(fault, inject):
    shadow = Shadow(random_model(), 6)
    inject(fault)
    assert play(shadow, steps=6) > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_greedy_tokens_are_those_of_the_library(kind):
    model = random_model(kind, seed=3)
    library = library_copy(model)
    draw = random.Random(0)
    prompts = [[draw.randrange(VOCABULARY) for _ in range(length)] for length in (13, 30, 21)]
    engine = Engine(model, 6, MAX_LENGTH)
    sequences = {slot: list(prompts[slot % 3]) for slot in range(6)}
    prefixes = [engine.prefix(prompt[:-1]) for prompt in prompts]
    for slot in sequences:
        engine.open(slot, prefixes[slot % 3])
    answers = engine.extend({slot: ids[-1:] for slot, ids in sequences.items()})
    logits = torch.stack([answers[slot] for slot in sequences])
    for _ in range(25):
        ids, _ = sample(logits, torch.zeros(6), Sampling(temperature=0.0))
        for slot, id in enumerate(ids.tolist()):
            sequences[slot].append(id)
        logits = engine.decode(list(sequences), ids.tolist())
    for slot, ids in sequences.items():
        prompt = torch.tensor([prompts[slot % 3]])
        expected = library.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            min_new_tokens=25,
            max_new_tokens=25,
            pad_token_id=0,
        )
        assert ids == expected[0].tolist()


def test_sampled_logprobs_are_the_policys():
    """The trainer computes the log-probs that the sampler recorded."""
    model, sampling = random_model(), Sampling(temperature=0.9)
    engine = Engine(model, 8, MAX_LENGTH)
    prompt = list(range(30))
    prefix = engine.prefix(prompt[:-1])
    slots, keys = list(range(8)), torch.tensor([stream_key(0, 0, 0, sibling) for sibling in range(8)])
    for slot in slots:
        engine.open(slot, prefix)
    answers = engine.extend({slot: prompt[-1:] for slot in slots})
    logits, sequences, recorded = torch.stack([answers[slot] for slot in slots]), [list(prompt) for _ in slots], []
    for place in range(40):
        ids, logprob = sample(logits, uniform(keys, torch.full((8,), place)), sampling)
        recorded.append(logprob)
        for sequence, id in zip(sequences, ids.tolist(), strict=True):
            sequence.append(id)
        logits = engine.decode(slots, ids.tolist())
    assert len({tuple(sequence) for sequence in sequences}) == 8
    with torch.no_grad():
        values, _ = token_logprobs(model, pack(sequences, [[0] * 30 + [1] * 40] * 8), sampling)
    torch.testing.assert_close(values.view(8, 40), torch.stack(recorded, 1), rtol=0, atol=1e-4)


def test_a_sequence_does_not_depend_on_its_neighbours():
    alone, together = Shadow(random_model(), 1), Shadow(random_model(), 6)
    play(together, steps=5)
    prompt = alone.tokens(9)
    answers = []
    for shadow, slot in ((alone, 0), (together, 2)):
        if slot in shadow.ids:
            shadow.close(slot)
        shadow.engine.open(slot, shadow.engine.prefix(prompt))
        answers.append(shadow.engine.extend({slot: [5, 6, 7]})[slot])
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-5)


def test_the_cache_is_not_copied_while_sequences_grow():
    shadow = Shadow(random_model(), 3)
    prefix = shadow.prefix(10)
    for slot in range(3):
        shadow.open(slot, prefix, 2)
    stores = {store.data_ptr() for store in shadow.engine.pool.keys.values()}
    for _ in range(50):
        shadow.decode([0, 1, 2])
    assert {store.data_ptr() for store in shadow.engine.pool.keys.values()} == stores


def test_memory_is_used_again_and_stays_dense():
    """Short sequences after long ones: the pool shrinks to the blocks in use and stays below its high mark."""
    shadow = Shadow(random_model(), 6)
    prefix = shadow.prefix(6)
    for _ in range(3):
        for slot in range(6):
            shadow.open(slot, prefix, 40)
        pool = shadow.engine.pool
        assert pool.high == 60
        for slot in (0, 2, 3, 5):
            shadow.close(slot)
        shadow.decode([4, 1])
        assert pool.high == 22 and not pool.free
        shadow.decode([1, 4])
        for slot in (1, 4):
            shadow.close(slot)
    assert shadow.worst < 5e-5


def test_a_few_of_many_slots_decode_by_themselves():
    shadow = Shadow(random_model(), 6)
    prefix = shadow.prefix(6)
    for slot in range(6):
        shadow.open(slot, prefix, 20 + slot)
    for slots in ([3], [5, 0], [2, 3, 4, 1], [0, 1, 2, 3, 4, 5]):
        shadow.decode(slots)
    assert shadow.worst < 5e-5


def test_new_weights_after_clear():
    model = random_model()
    engine = Engine(model, 2, MAX_LENGTH)
    engine.open(0, engine.prefix([1, 2, 3]))
    before = engine.extend({0: [4]})[0]
    model.load_state_dict(random_model(seed=9).state_dict())
    engine.clear()
    engine.open(0, engine.prefix([1, 2, 3]))
    after = engine.extend({0: [4]})[0]
    torch.testing.assert_close(after, next_logits(library_copy(model), [1, 2, 3, 4]), rtol=0, atol=5e-5)
    assert (after - before).abs().max() > 0.1


def test_bfloat16_autocast():
    shadow = Shadow(random_model(), 6)
    with torch.autocast("cpu", torch.bfloat16):
        prefix = shadow.prefix(10)
        for slot in range(4):
            shadow.open(slot, prefix, 8)
        for _ in range(6):
            shadow.decode([0, 1, 2, 3])
    assert {store.dtype for store in shadow.engine.pool.keys.values()} == {torch.bfloat16}
    assert 1e-4 < shadow.worst < 0.5


def test_misuse_is_refused():
    engine = Engine(random_model(), 2, 10)
    prefix = engine.prefix([1, 2, 3])
    engine.open(0, prefix)
    for slot in (0, 2, -1):
        with pytest.raises(ValueError, match=f"slot {slot} is not a free one of 2"):
            engine.open(slot, prefix)
    with pytest.raises(ValueError, match="at least one token"):
        engine.extend({0: []})
    with pytest.raises(ValueError, match="more than 10"):
        engine.extend({0: [1] * 8})
    with pytest.raises(ValueError, match="leaves no room"):
        engine.prefix([1] * 7, prefix)
    with pytest.raises(KeyError):
        engine.decode([1], [1])
    with pytest.raises(KeyError):
        engine.close(1)
    with pytest.raises(UnsupportedModel, match="not prepared"):
        Engine(library_model(), 2, 10)


def test_a_slot_may_be_filled_to_its_last_token():
    engine = Engine(random_model(), 1, 10)
    engine.open(0, engine.prefix([1, 2, 3]))
    engine.extend({0: [4, 5, 6, 7, 8, 9]})
    engine.decode([0], [1])
    with pytest.raises(ValueError, match="more than 10"):
        engine.decode([0], [1])
