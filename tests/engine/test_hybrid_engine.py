"""Hybrid models: a sequence's recurrent states are its own, in generation and in training."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from grpo.config import Options
from grpo.engine import cuda_graphs, engine, hybrid_engine
from grpo.engine.engine import Engine
from grpo.engine.hybrid_engine import HybridEngine
from grpo.errors import UnsupportedModel
from grpo.logprobs import token_logprobs
from grpo.models.causal_lm import hidden_states, is_recurrent
from grpo.models.checkpoint import Checkpoint
from grpo.models.recompute import recompute_layers
from grpo.models.recurrence import shares_prefixes, unpatch_mixers
from grpo.models.token_tree import Node, TokenTree
from grpo.packing import pack, pad
from grpo.run import training
from grpo.run.memory import shape_of
from grpo.types import Sampling
from tests.support import bandit
from tests.support.causal_models import (
    VOCABULARY,
    batch_next_logits,
    hybrid_model,
    library_copy,
    library_hybrid,
    naive_logprobs,
    prepared,
    random_model,
)
from tests.support.recording import Recording
from tests.support.training import SMALL

TOLERANCE = 5e-4
"""Logits have a spread of about 6; the recurrence in chunks and step by step differ by rounding."""
LEAK = 0.01
"""The least effect of a leak on the hidden states, far above rounding."""


def tokens(count: int, seed: float = 0) -> list[int]:
    return [random.Random(f"{seed}/{place}").randrange(VOCABULARY) for place in range(count)]


class Shadow:
    """Drives an engine and compares every answer with a forward pass over the sequence."""

    def __init__(self, layers: int = 4) -> None:
        model = hybrid_model(layers=layers)
        self.library = library_copy(model)
        self.engine = HybridEngine(model, 4, 200)
        self.ids: dict[int, list[int]] = {}
        self.worst = 0.0

    def compare(self, answers: Mapping[int, torch.Tensor]) -> None:
        expected = batch_next_logits(self.library, [self.ids[slot] for slot in answers])
        self.worst = max(self.worst, float((torch.stack([*answers.values()]) - expected).abs().max()))

    def extend(self, new: dict[int, list[int]]) -> None:
        for slot, ids in new.items():
            self.ids[slot] = self.ids[slot] + ids
        self.compare(self.engine.extend(new))

    def decode(self, slots: list[int], ids: list[int]) -> None:
        for slot, id in zip(slots, ids, strict=True):
            self.ids[slot] = [*self.ids[slot], id]
        self.compare(dict(zip(slots, self.engine.decode(slots, ids), strict=True)))


def play(shadow: Shadow) -> float:
    """Two levels of prefixes, sequences of several lengths, a prefill in the middle, a slot used again."""
    engine, prompt = shadow.engine, tokens(15)
    root = engine.prefix(prompt[:7])
    task = engine.prefix(prompt[7:], root)
    for slot, prefix in ((0, task), (1, root), (2, task)):
        engine.open(slot, prefix)
        shadow.ids[slot] = prompt[: prefix.length]
    shadow.extend({0: [1, 2, 3], 1: [4, 5], 2: [6, 7, 8]})
    for step in range(3):
        shadow.decode([2, 0, 1], [step, step + 1, step + 2])
    shadow.extend({1: tokens(70, 1), 0: [3]})
    shadow.decode([1, 2], [5, 6])
    engine.close(2)
    engine.open(2, root)
    shadow.ids[2] = prompt[:7]
    shadow.extend({2: [9]})
    shadow.decode([2, 1, 0], [5, 6, 7])
    return shadow.worst


@pytest.mark.parametrize("layers", [4, 3], ids=["with attention", "without attention"])
def test_logits_are_those_of_the_sequence_alone(layers):
    assert play(Shadow(layers)) < TOLERANCE


def test_the_comparison_sees_states_that_are_shared(inject):
    inject("hybrid engine: every sequence continues from the first one's states")
    assert play(Shadow()) > 0.1


def test_more_slots_than_fit_into_a_pass(monkeypatch):
    """If one slot started in a pass where another one ended, both states would be cut at the wrong token."""
    for module in (engine, hybrid_engine):
        monkeypatch.setattr(module, "PREFILL_TOKENS", 16)
        monkeypatch.setattr(module, "PREFILL_CHUNK", 8)
    shadow = Shadow()
    prefix = shadow.engine.prefix(tokens(5))
    for slot in range(4):
        shadow.engine.open(slot, prefix)
        shadow.ids[slot] = tokens(5)
    shadow.extend({slot: tokens(12, slot) for slot in range(4)})
    assert shadow.worst < TOLERANCE


@pytest.mark.parametrize(
    "layers", [pytest.param(4, id="with attention"), pytest.param(3, id="without attention", marks=pytest.mark.full)]
)
def test_recorded_steps_give_the_logits_of_the_sequence_alone(layers, monkeypatch):
    """Slots that decode, wait, get tool responses, close and open: states enter lanes and leave them."""
    recording, draw = Recording(), random.Random(0)
    monkeypatch.setattr(cuda_graphs, "record", recording)
    monkeypatch.setattr(Engine, "_records", lambda self: True)
    shadow = Shadow(layers)
    engine, prompt = shadow.engine, tokens(12)
    prefixes = [engine.prefix(prompt[:5])]
    prefixes.append(engine.prefix(prompt[5:], prefixes[0]))
    for _ in range(90):
        choice, slots = draw.random(), sorted(engine.open_slots)
        if choice < 0.15 and len(slots) < 4:
            slot, prefix = min({0, 1, 2, 3} - set(slots)), draw.choice(prefixes)
            engine.open(slot, prefix)
            shadow.ids[slot] = prompt[: prefix.length]
            shadow.extend({slot: tokens(draw.randint(1, 5), draw.random())})
        elif choice < 0.3 and slots:
            shadow.extend({slot: tokens(draw.randint(1, 5), draw.random()) for slot in draw.sample(slots, 1)})
        elif choice < 0.34 and len(slots) > 1:
            engine.close(slots[0])
        elif slots:
            some = draw.sample(slots, draw.randint(1, len(slots)))
            shadow.decode(some, [draw.randrange(VOCABULARY) for _ in some])
    assert shadow.worst < TOLERANCE and recording.replayed > 20


def test_clear_forgets_states():
    shadow = Shadow()
    play(shadow)
    shadow.engine.clear()
    assert not shadow.engine.slot_states and not shadow.engine.lane_of
    assert play(shadow) < TOLERANCE


def sequences() -> tuple[list[list[int]], list[list[int]]]:
    shared = tokens(20)
    ids = [shared + tokens(length, seed=length) for length in (3, 30, 9)]
    return ids, [[0] * 20 + [1] * (len(one) - 20) for one in ids]


def tree_sequences() -> tuple[list[list[int]], list[list[int]]]:
    """Three tasks under common tools, prompts of several lengths, three completions each: some of them one token."""
    tools, ids, masks = tokens(11), [], []
    for task in range(3):
        prompt = tools + tokens(6 + 30 * task, seed=100 + task)
        for length in (3, 30, 1):
            ids.append(prompt + tokens(length, seed=200 + 10 * task + length))
            masks.append([0] * len(prompt) + [1] * length)
    return ids, masks


def forgetful(model: PreTrainedModel) -> PreTrainedModel:
    """The recurrent state decays to nothing at each token: only the convolution's window remains."""
    for name, weight in model.named_parameters():
        if name.endswith(("A_log", "dt_bias")):
            weight.data.fill_(20.0)
    return model


def windowless(model: PreTrainedModel) -> PreTrainedModel:
    """The convolution sees its own token alone: only the recurrent state remains, and it lasts."""
    for name, weight in model.named_parameters():
        if name.endswith("conv1d.weight"):
            weight.data[..., :-1] = 0.0
        elif name.endswith("A_log"):
            weight.data.fill_(-4.0)
    return model


def recomputed(model: PreTrainedModel) -> PreTrainedModel:
    recompute_layers(model)
    return model


@pytest.mark.parametrize("layout", [pack, pad], ids=["packed", "padded"])
@pytest.mark.parametrize("kind", [lambda model: model, forgetful, windowless, recomputed, copy.deepcopy])
def test_logprobs_and_gradients_are_those_of_each_sequence_alone(kind, layout):
    base, (ids, masks) = hybrid_model(), tree_sequences()
    twin = library_copy(base)
    model = kind(base)
    for name, weight in twin.named_parameters():
        weight.data.copy_(model.get_parameter(name))
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    packed = layout(ids, masks)
    assert packed.ids.numel() < sum(map(len, ids)) or layout is pad
    values, _ = token_logprobs(model, packed, Sampling())
    direction = torch.linspace(-1, 1, len(values))
    alone = [naive_logprobs(twin, [one], [mask], Sampling())[0] for one, mask in zip(ids, masks, strict=True)]
    torch.testing.assert_close(values, torch.cat(alone), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad((values * direction).sum(), parameters, allow_unused=True)
    theirs = torch.autograd.grad((torch.cat(alone) * direction).sum(), list(twin.parameters()), allow_unused=True)
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine is not None and expected is not None
        assert float((mine - expected).norm() / (1e-6 + expected.norm())) < 1e-3


def test_one_row_would_leak_states_between_neighbours():
    """The control: the same sequences side by side in one row, through the library's recurrent layers."""
    model, (ids, masks) = hybrid_model(), sequences()
    unpatch_mixers(model)
    packed = pack(ids, masks)
    hidden = hidden_states(model, packed.ids, packed.positions, packed.tree)[packed.predecessors]
    scored = model.lm_head(hidden).log_softmax(-1).gather(1, packed.targets.unsqueeze(1)).squeeze(1)
    assert (scored - token_logprobs(model, pad(ids, masks), Sampling())[0]).abs().max() > 0.1


def side_by_side(model: PreTrainedModel, first: list[int], second: list[int], branch: bool) -> torch.Tensor:
    """Hidden states [len(second), H] of `second` after `first` in one row, as sequences are packed."""
    ids = torch.tensor([[*first, *second]])
    positions = torch.tensor([[*range(len(first)), *range(len(second))]])
    nodes = (Node(0, len(first), len(first)), Node(len(first), ids.shape[1], ids.shape[1]))
    model = copy.deepcopy(model)
    if not branch:
        unpatch_mixers(model)
    with torch.no_grad():
        return hidden_states(model, ids, positions, TokenTree(nodes))[len(first) :]


@pytest.mark.parametrize("kind", [forgetful, windowless])
def test_neither_the_window_nor_the_state_leaks_where_layers_branch(kind):
    """Each by itself: three layers with windows of four tokens reach nine tokens back, a state to the row's start."""
    model, first, second = kind(hybrid_model()), tokens(30), tokens(12, seed=1)
    near, far = [*first[:-3], *tokens(3, seed=2)], [*tokens(20, seed=3), *first[20:]]
    for branch in (True, False):
        expected = side_by_side(model, first, second, branch)
        leaks = {
            name: float((side_by_side(model, past, second, branch) - expected).abs().max())
            for name, past in (("near", near), ("far", far))
        }
        assert (leaks["near"] > LEAK) == (not branch), leaks
        assert (leaks["far"] > LEAK) == (not branch and kind is windowless), leaks


@pytest.mark.parametrize("kind", [forgetful, windowless])
def test_padding_in_front_would_enter_both_the_window_and_the_state(kind):
    """The reason why `pad` puts it at the end: here only attention knows where padding is (MaxText #5295)."""
    twin, (ids, masks) = library_copy(kind(hybrid_model())), sequences()
    front, scored = len(ids[1]) - len(ids[0]), sum(masks[0])
    row = torch.tensor([[0] * front + ids[0]])
    causal = torch.ones(row.shape[1], row.shape[1], dtype=torch.bool).tril()
    causal[:, :front] = False
    mask = torch.zeros(1, 1, *causal.shape).masked_fill(~causal, torch.finfo(torch.float32).min)
    positions = (torch.arange(row.shape[1]) - front).clamp(min=0).unsqueeze(0)
    options = {"position_ids": positions, "use_cache": False}
    with torch.no_grad():
        alone = twin(input_ids=torch.tensor([ids[0]]), use_cache=False).logits[0, -scored:]
        padded = twin(input_ids=row, attention_mask={"full_attention": mask, "linear_attention": None}, **options)
        masked = twin(input_ids=row, attention_mask=(torch.arange(row.shape[1]) >= front).long()[None], **options)
    torch.testing.assert_close(masked.logits[0, -scored:], alone, rtol=1e-4, atol=1e-4)
    assert (padded.logits[0, -scored:] - alone).abs().max() > LEAK


class Withholding(nn.Module):
    """Does not pass the attention context on to its mixer."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, **options: Any) -> torch.Tensor:
        output: torch.Tensor = self.mixer(hidden_states=options["hidden_states"], cache_params=options["cache_params"])
        return output


def withheld() -> PreTrainedModel:
    """A prepared model whose recurrent layers get no attention context, so that its sequences have to be padded."""
    model = library_hybrid()
    for layer in model.base_model.layers:
        if hasattr(layer, "linear_attn"):
            layer.linear_attn = Withholding(layer.linear_attn)
    return prepared(model)


def test_only_a_hybrid_is_recurrent():
    assert is_recurrent(hybrid_model()) and not is_recurrent(random_model())


def test_inputs_that_would_mix_states_are_refused():
    with pytest.raises(UnsupportedModel, match="take the other engine"):
        Engine(hybrid_model(), 2, 64)
    with pytest.raises(UnsupportedModel, match="take the other engine"):
        HybridEngine(random_model(), 2, 64)
    with pytest.raises(UnsupportedModel, match="leak states"):
        token_logprobs(withheld(), pack(*sequences()), Sampling())


@pytest.mark.parametrize("make", [hybrid_model, withheld], ids=["packed", "padded"])
def test_a_training_step_scores_what_was_sampled(make, monkeypatch, tmp_path, capsys):
    """Where rows have to be padded, the run's output says so once."""
    model, tokenizer = make(), bandit.tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    before = [weight.clone() for weight in model.parameters()]
    checkpoint = Checkpoint(model, tokenizer)
    monkeypatch.setattr(training, "load", lambda *_: checkpoint)
    settings = SMALL | {"group_size": 6, "temperature": 2.0, "steps": 2, "env": "tests.support.bandit:scenario"}
    training.train(Options(**settings, eval_tasks=0, out=str(tmp_path / "run")))
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        metrics = json.loads(line)
        assert metrics["trained_tokens"] > 0 and metrics["logprob_gap_max"] < 1e-3
    assert not all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert capsys.readouterr().out.count("in padded batches") == (make is withheld)
    assert shares_prefixes(model) == (make is not withheld)


def test_a_plan_counts_the_states_of_a_sequence():
    engine = HybridEngine(hybrid_model(layers=2), 1, 20)
    engine.open(0, engine.prefix([1, 2, 3]))
    engine.extend({0: [4]})
    parts = [part for layer in engine.slot_states[0].values() for part in layer]
    assert 4 * shape_of(engine.model.config).state == sum(part.nbytes for part in parts) > 0
