"""The warm start at toy size, and the embedded policy, which is its result."""

import itertools
import os
import random
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from envs.scenarios import NAMES, SCENARIOS
from envs.scripts import oracle_turns
from grpo.chat.template import ChatFormat
from grpo.cli.main import main
from grpo.models.checkpoint import TINY, TINY_DIRECTORY, load
from grpo.tiny import warmstart
from grpo.tiny.demonstrations import (
    REPEATED_LABELS,
    REPEATED_NUMBERS,
    REPEATED_WORDS,
    Demonstration,
    choice,
    encode,
    repetition,
)
from grpo.tiny.warmstart import WarmStart, curriculum, new_tokenizer, warm_start
from tests.support.tiers import FULL

TOY = WarmStart(bare_steps=2, clean_steps=2, noisy_steps=2, batch=4, demonstrations=8, processes=1)


@pytest.fixture(scope="module")
def chat():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warmstart, "TOKENIZER_EPISODES", warmstart.TOKENIZER_EPISODES if FULL else 80)
        return ChatFormat(new_tokenizer())


@pytest.mark.parametrize(
    ("text", "tokens"),
    {
        "in project RVE-361": [" project ", "R", "V", "E", "-", "361"],
        '{"key": "RVE-361': ['key": "', "R", "V", "E", "-", "361"],
        '"id": "47357"': ['id": "', "473", "57", '"'],
        'with the title "Weekly Budget Notes"': [" the", ' title "', "Weekly ", "Budget ", "Notes", '"'],
        '{"title": "Weekly Budget Notes"': ['{"', 'title": "', "Weekly ", "Budget ", "Notes", '"'],
        "in the page Weekly Budget Notes": [" page ", "Weekly ", "Budget ", "Notes"],
        "the label quick-win": [" label ", "quick", "-win"],
        'the label "quick-win"': [' label "', "quick", "-win", '"'],
    }.items(),
)
def test_text_is_split_for_copying(chat, text, tokens):
    """A value's tokens are the same in a sentence and in JSON, and the token before them says what it is."""
    pieces = [chat.tokenizer.decode([id]) for id in chat.tokenizer.encode(text)]
    assert pieces[-len(tokens) :] == tokens


def test_every_group_of_three_digits_is_one_token(chat):
    assert all(len(chat.tokenizer.encode(f"{number:03}")) == 1 for number in range(1_000))


@pytest.mark.parametrize("text", ['{"key": "RVE-86"}', "tab\tand\nlines  and   spaces", "Ünïcode 漢字 🙂", "<p>a</p>"])
def test_tokenizer_loses_nothing(chat, text):
    assert chat.tokenizer.decode(chat.tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", NAMES)
def test_sampled_tokens_are_the_turns(chat, name):
    """The sampled runs of a demonstration, parsed as a rollout would, are the script's turns."""
    demonstration = encode(chat, "oracle", name, 3)
    tools = SCENARIOS[name].env(3, "train").tools
    runs = itertools.groupby(zip(demonstration.ids, demonstration.mask, strict=True), key=lambda pair: pair[1])
    turns = [chat.parse([id for id, _ in run], tools) for bit, run in runs if bit]
    expected = oracle_turns(SCENARIOS[name], 3, "train")
    assert [(turn.content, turn.calls) for turn in turns] == [(turn.content, turn.calls) for turn in expected]


def test_bare_prompt_lacks_nothing_but_the_system_message_and_the_tools(chat):
    demonstration = encode(chat, "oracle", "issue-read", 3)
    full, bare = (chat.tokenizer.decode(ids) for ids in (demonstration.prompt, demonstration.bare_prompt))
    assert full.startswith("<|im_start|>system\n") and full.endswith(bare)
    assert full.removesuffix(bare).count("<|im_end|>") == 1


def test_a_repetition_copies_a_text_from_the_prompt(chat):
    """Each word occurs once in the text, so the word before it determines which one comes next."""
    ids, mask = repetition(chat, random.Random(0))
    sampled = [id for id, bit in zip(ids, mask, strict=True) if bit]
    assert mask[-len(sampled) :] == [1] * len(sampled) and len(ids) == len(mask)
    assert sampled[-1] in chat.stop_ids
    text = chat.text(ids[-len(sampled) - 1 :])
    words = text.replace("-", " ").split()
    assert len(words) == len(set(words)) == REPEATED_WORDS + 2 * REPEATED_LABELS + REPEATED_NUMBERS
    assert chat.tokenizer.decode(ids).count(text) == 2
    assert repetition(chat, random.Random(1))[0] != ids


@pytest.mark.parametrize("seed", range(8))
def test_choices_train_on_what_the_beginning_of_an_entry_determines(chat, seed):
    """Entries are repeated in another order. Masked out are an entry's quote and first token, or its full name."""
    ids, mask = choice(chat, random.Random(seed))
    assert len(ids) == len(mask) and ids[-1] in chat.stop_ids
    start = mask.index(1)
    while chat.tokenizer.decode([ids[start - 1]]) != "\n":
        start -= 1
    listing, answer = (chat.tokenizer.decode(part) for part in (ids[:start], ids[start:]))
    entries = answer.removesuffix("<|im_end|>").split("\n")
    names = [entry.split('"')[1] for entry in entries]
    assert len(set(names)) == len(names) >= 2
    expected = []
    for entry, name in zip(entries, names, strict=True):
        assert listing.count(f'"{name}"') == 1
        if '"id"' in entry:
            assert f'"{name}", {entry.partition(", ")[2]}' in listing
        expected.append(name if '"id"' in entry else chat.tokenizer.decode(chat.tokenizer.encode(name)[:1]))
    beginnings = [""]
    for id, bit in zip(ids[start:], mask[start:], strict=True):
        piece = chat.tokenizer.decode([id])
        if piece == "\n":
            assert not bit
            beginnings.append("")
        elif not bit:
            beginnings[-1] += piece
    assert beginnings == [f'"{beginning}' for beginning in expected]


def test_phases_follow_each_other(chat):
    marks = {"clean": 1, "noisy": 2}
    clean, noisy = (
        [Demonstration(name, [mark, 7], [mark], [mark], [1]) for name in NAMES for _ in range(8)]
        for mark in marks.values()
    )
    batches = list(curriculum(clean, noisy, chat, replace(TOY, bare_steps=1, clean_steps=2, noisy_steps=3)))
    assert [(batch[0][0][0], len(batch[0][0])) for batch in batches] == [(1, 2), (1, 3), (1, 3), (2, 3), (2, 3), (2, 3)]


SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 4}
"""Muon computes in bf16, which takes seconds per step at the real size on a CPU without bf16 units."""


@pytest.mark.parametrize("shape", [SMALL, pytest.param({}, marks=pytest.mark.full)], ids=["small", "real"])
def test_same_options_same_weights(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(warmstart, "SHAPE", warmstart.SHAPE | shape)
    monkeypatch.setattr(warmstart, "TOKENIZER_EPISODES", 5)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # one thread in the new process: two wait for each other
    runs = [
        warm_start(replace(TOY, batch=2, demonstrations=4, out=str(tmp_path / str(seed) / name), seed=seed))
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    first, again, other = (load_file(run / "model.safetensors") for run in runs)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--batch 4 --demonstrations 7", "at least 8 demonstrations"),
        ("--batch 0", "batch is 0; it has to be at least 1"),
        ("--batch -4", "batch is -4; it has to be at least 1"),
        ("--processes 0", "processes is 0; it has to be at least 1"),
        ("--demonstrations 0", "demonstrations is 0; it has to be at least 1"),
        ("--noisy_steps -1", "noisy_steps is -1; it has to be at least 0"),
        ("--matrix_rate nan", "matrix_rate is nan; give a finite number"),
        ("--matrix_rate 0", "matrix_rate is 0.0; it has to be above 0"),
        ("extra", "unexpected argument 'extra'"),
        ("--bad 3", "unknown option --bad"),
        ("--bacth 3", "did you mean batch"),
        ("--batch many", "invalid int value"),
    ],
)
def test_bad_options_are_one_line_before_any_work(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.setattr(warmstart, "new_tokenizer", None)
    assert main(["warmstart", "--out", str(tmp_path / "out"), *flags.split()]) == 2
    _, err = capsys.readouterr()
    assert message in err and err.startswith("grpo warmstart: ") and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


needs_tiny = pytest.mark.skipif(not TINY_DIRECTORY.is_dir(), reason="the embedded policy is missing")


@needs_tiny
def test_embedded_policy_is_an_ordinary_directory():
    weights = TINY_DIRECTORY / "model.safetensors"
    assert weights.stat().st_size < 10_000_000
    assert {value.dtype for value in load_file(weights).values()} == {torch.bfloat16}
    model = AutoModelForCausalLM.from_pretrained(TINY_DIRECTORY)
    assert model.config.model_type == "qwen3"
    assert len(AutoTokenizer.from_pretrained(TINY_DIRECTORY)) == model.config.vocab_size


@needs_tiny
def test_embedded_policy_is_loaded_into_fp32():
    assert {p.dtype for p in load(TINY).model.parameters()} == {torch.float32}
