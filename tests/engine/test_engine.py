"""The engine says what a forward pass over the whole row says, however rows share, grow, wait, close and reopen."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from grpo.engine import decode_step as decode
from grpo.engine import engine as generation
from grpo.engine import kv_cache
from grpo.engine.engine import Engine
from grpo.errors import UnsupportedModel
from grpo.keys import stream_key
from grpo.logprobs import logprobs
from grpo.packing import pack
from grpo.sampling import sample, uniform
from grpo.types import Sampling
from kernels import blocks
from tests.support.causal_models import MODELS, SHAPE, VOCABULARY, library_copy, next_logits, random_model
from tests.support.shadow import MAX_LENGTH, Shadow, play, small_pieces


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    small_pieces(monkeypatch)


@pytest.mark.parametrize("kind", MODELS)
def test_every_answer_is_that_of_a_whole_forward_pass(kind):
    assert play(Shadow(random_model(kind), 6)) < 5e-5


def leak_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row's tokens are scored against the first row's blocks."""
    prepare = decode.DecodePlan.__init__

    def broken(self, *args):
        prepare(self, *args)
        owner = self.table.owner.clamp(max=max(len(self.positions) - 2, 0))
        self.table = replace(self.table, owner=owner)

    monkeypatch.setattr(decode.DecodePlan, "__init__", broken)


def forget_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places that hold no token, or another row's old one, take part."""
    monkeypatch.setattr(blocks, "score_mask", lambda behind, window: torch.zeros(behind.shape))


def lose_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not see the root of a chain."""
    spans = kv_cache.spans
    monkeypatch.setattr(generation, "spans", lambda *args: spans(*args)[1:])
    monkeypatch.setattr(decode, "spans", lambda *args: spans(*args)[1:])


def misplace_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = Engine._positions
    monkeypatch.setattr(Engine, "_positions", lambda self, rows: positions(self, rows) + 1)


def forget_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row's last part counts for nothing in decode steps."""
    parts = decode.Step.parts

    def broken(self, index):
        *others, table, work = parts(self, index)
        table[:, -1] = -1
        return *others, table, work

    monkeypatch.setattr(decode.Step, "parts", broken)


@pytest.mark.parametrize("fault", [leak_a_neighbour, forget_the_mask, lose_a_prefix, misplace_positions, forget_a_part])
def test_the_comparison_sees_a_fault(fault, monkeypatch):
    shadow = Shadow(random_model(), 6)
    fault(monkeypatch)
    assert play(shadow, steps=6) > 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_greedy_tokens_are_those_of_the_librarys_loop(kind):
    model = random_model(kind, seed=3)
    library = library_copy(model)
    draw = random.Random(0)
    prompts = [[draw.randrange(VOCABULARY) for _ in range(length)] for length in (13, 30, 21)]
    engine = Engine(model, 6, MAX_LENGTH)
    found = {row: list(prompts[row % 3]) for row in range(6)}
    prefixes = [engine.prefix(prompt[:-1]) for prompt in prompts]
    for row in found:
        engine.open(row, prefixes[row % 3])
    answers = engine.extend({row: ids[-1:] for row, ids in found.items()})
    logits = torch.stack([answers[row] for row in found])
    for _ in range(25):
        ids, _ = sample(logits, torch.zeros(6), Sampling(temperature=0.0))
        for row, id in enumerate(ids.tolist()):
            found[row].append(id)
        logits = engine.decode(list(found), ids.tolist())
    for row, ids in found.items():
        prompt = torch.tensor([prompts[row % 3]])
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
    """What the sampler recorded, the trainer computes again."""
    model, sampling = random_model(), Sampling(temperature=0.9)
    engine = Engine(model, 8, MAX_LENGTH)
    prompt = list(range(30))
    prefix = engine.prefix(prompt[:-1])
    rows, keys = list(range(8)), torch.tensor([stream_key(0, 0, 0, sibling) for sibling in range(8)])
    for row in rows:
        engine.open(row, prefix)
    answers = engine.extend({row: prompt[-1:] for row in rows})
    logits, sequences, recorded = torch.stack([answers[row] for row in rows]), [list(prompt) for _ in rows], []
    for place in range(40):
        ids, values = sample(logits, uniform(keys, torch.full((8,), place)), sampling)
        recorded.append(values)
        for sequence, id in zip(sequences, ids.tolist(), strict=True):
            sequence.append(id)
        logits = engine.decode(rows, ids.tolist())
    assert len({tuple(sequence) for sequence in sequences}) == 8
    with torch.no_grad():
        found, _ = logprobs(model, pack(sequences, [[0] * 30 + [1] * 40] * 8), sampling)
    torch.testing.assert_close(found.view(8, 40), torch.stack(recorded, 1), rtol=0, atol=1e-4)


def test_a_row_does_not_notice_its_company():
    alone, together = Shadow(random_model(), 1), Shadow(random_model(), 6)
    play(together, steps=5)
    prompt = alone.tokens(9)
    answers = []
    for shadow, row in ((alone, 0), (together, 2)):
        if row in shadow.ids:
            shadow.close(row)
        shadow.engine.open(row, shadow.engine.prefix(prompt))
        answers.append(shadow.engine.extend({row: [5, 6, 7]})[row])
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-5)


def test_the_cache_is_not_copied_while_rows_grow():
    shadow = Shadow(random_model(), 3)
    prefix = shadow.prefix(10)
    for row in range(3):
        shadow.open(row, prefix, 2)
    stores = {store.data_ptr() for store in shadow.engine.pool.keys.values()}
    for _ in range(50):
        shadow.decode([0, 1, 2])
    assert {store.data_ptr() for store in shadow.engine.pool.keys.values()} == stores


def test_memory_is_used_again_and_stays_dense():
    """Short rows after long ones: the pool shrinks to what is in use, and does not grow beyond its high mark."""
    shadow = Shadow(random_model(), 6)
    prefix = shadow.prefix(6)
    for _ in range(3):
        for row in range(6):
            shadow.open(row, prefix, 40)
        pool = shadow.engine.pool
        assert pool.high == 60
        for row in (0, 2, 3, 5):
            shadow.close(row)
        shadow.decode([4, 1])
        assert pool.high == 22 and not pool.free
        shadow.decode([1, 4])
        for row in (1, 4):
            shadow.close(row)
    assert shadow.worst < 5e-5


def test_a_few_of_many_rows_decode_by_themselves():
    shadow = Shadow(random_model(), 6)
    prefix = shadow.prefix(6)
    for row in range(6):
        shadow.open(row, prefix, 20 + row)
    for rows in ([3], [5, 0], [2, 3, 4, 1], [0, 1, 2, 3, 4, 5]):
        shadow.decode(rows)
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
        for row in range(4):
            shadow.open(row, prefix, 8)
        for _ in range(6):
            shadow.decode([0, 1, 2, 3])
    assert {store.dtype for store in shadow.engine.pool.keys.values()} == {torch.bfloat16}
    assert 1e-4 < shadow.worst < 0.5


def test_misuse_is_refused():
    engine = Engine(random_model(), 2, 10)
    prefix = engine.prefix([1, 2, 3])
    engine.open(0, prefix)
    for row in (0, 2, -1):
        with pytest.raises(ValueError, match="not a free slot"):
            engine.open(row, prefix)
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
    config = LlamaConfig(**SHAPE, num_key_value_heads=2, layer_types=["full_attention", "chunked_attention"])
    with pytest.raises(UnsupportedModel, match="chunked_attention"):
        Engine(LlamaForCausalLM(config), 2, 10)


def test_a_row_may_be_filled_to_its_last_token():
    engine = Engine(random_model(), 1, 10)
    engine.open(0, engine.prefix([1, 2, 3]))
    engine.extend({0: [4, 5, 6, 7, 8, 9]})
    engine.decode([0], [1])
    with pytest.raises(ValueError, match="more than 10"):
        engine.decode([0], [1])
