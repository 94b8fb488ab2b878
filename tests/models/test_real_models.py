"""The models that users bring, end to end: load, render tools, roll out, update, save, load elsewhere."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel

import grpo.run.training
from envs.protocol import Turn
from envs.scripts import oracle_turns
from grpo.chat.template import ChatFormat
from grpo.chat.tool_calls import CallFormat
from grpo.cli.main import main
from grpo.engine.engine import Engine
from grpo.engine.hybrid_engine import HybridEngine
from grpo.logprobs import token_logprobs
from grpo.models.causal_lm import hidden_states, is_recurrent, output_logits
from grpo.models.checkpoint import Checkpoint
from grpo.models.recurrence import unpatch_mixers
from grpo.packing import pack, pad
from grpo.types import Sampling
from tests.support.causal_models import library_copy, naive_logprobs, prepared
from tests.support.real_models import RUN, SCENARIO, checkpoint, opening, qwen3, qwen3_5, reference, template, tokenizer

TOLERANCE = 1e-3
"""Log-probs have a spread of a few units; the ways to compute them differ by fp32 rounding."""
IDS = torch.arange(3, 40).unsqueeze(0)
THINKING = {"qwen3": False, "qwen3.5": True}
"""Family -> the thinking option of its run, for the families that have one."""


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    return model(input_ids=IDS.to(model.device), use_cache=False).logits[0]


def train(model: Path, out: Path, **options: Any) -> int:
    settings = {"model": model, "out": out, **RUN, **options}
    return main(["train", *(text for name, value in settings.items() for text in (f"--{name}", str(value)))])


@pytest.mark.parametrize(
    "family", ["llama", "gemma", *(pytest.param(family, marks=pytest.mark.full) for family in ("qwen3", "qwen3.5"))]
)
def test_a_training_run_end_to_end(family, tmp_path, monkeypatch):
    source, final = checkpoint(family, tmp_path / "model"), tmp_path / "run" / "final"
    trained: list[Tensor] = []
    original = grpo.run.training.save

    def watched_save(saved: Checkpoint, *arguments: Any, **options: Any) -> None:
        trained.append(logits(saved.model))
        original(saved, *arguments, **options)

    monkeypatch.setattr(grpo.run.training, "save", watched_save)
    options = {"thinking": THINKING[family]} if family in THINKING else {}
    assert train(source, tmp_path / "run", **options) == 0

    (metrics,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    assert metrics["trained_tokens"] > 0 and metrics["logprob_gap_max"] < TOLERANCE
    assert metrics["reward_std"] > 0 and metrics["turns_mean"] > 1
    before, after = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for folder in (source, final))
    torch.testing.assert_close(logits(after), trained[0], rtol=1e-4, atol=1e-4)
    # Adam's first step moves a weight with a gradient by the learning rate, whatever the gradient's size.
    assert (logits(after) - logits(before)).abs().max() > 0.1
    moved = [not torch.equal(*pair) for pair in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(moved)
    assert AutoTokenizer.from_pretrained(final).chat_template == template(family)
    if family == "qwen3.5":
        check_vision_tower(source, final)


def check_vision_tower(source: Path, final: Path) -> None:
    """Qwen3.5 is published with one: an engine loads it unchanged, with the trained text model."""
    multimodal, report = AutoModelForImageTextToText.from_pretrained(
        final, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    text = AutoModelForCausalLM.from_pretrained(final, dtype=torch.float32)
    torch.testing.assert_close(logits(multimodal), logits(text), rtol=1e-5, atol=1e-5)
    stored = load_file(source / "model.safetensors")
    vision = {name: value for name, value in stored.items() if name.startswith("model.visual.")}
    loaded = multimodal.state_dict()
    assert vision and all(torch.equal(loaded[name], value) for name, value in vision.items())
    assert not torch.equal(text.get_input_embeddings().weight, stored["model.language_model.embed_tokens.weight"])


FORMATS = {"qwen3": CallFormat.JSON, "qwen3.5": CallFormat.XML, "llama": CallFormat.BARE, "gemma": CallFormat.JSON}


@pytest.mark.parametrize("family", FORMATS)
def test_tools_calls_and_answers_in_the_familys_format(family):
    encoder, (messages, tools) = tokenizer(family), opening()
    chat = ChatFormat(encoder)
    assert chat.call_format is FORMATS[family]
    prompt = encoder.decode(chat.prompt(messages, tools))
    assert all(json.dumps(tool.name) in prompt and tool.description in prompt for tool in tools)
    assert ("<function=" in prompt) == (family == "qwen3.5")
    # Llama writes one call a turn.
    turns = [Turn("", (call,)) for turn in oracle_turns(SCENARIO, 0, "train") for call in turn.calls]
    assert len(turns) > 1 and all(chat.parse(chat.turn(turn), tools) == turn for turn in turns)
    assert "an answer" in encoder.decode(chat.continuation([{"role": "tool", "content": "an answer"}]))


@pytest.mark.parametrize(("family", "opened"), [("qwen3", False), ("qwen3.5", True)])
def test_thinking_is_switched_by_the_templates_option(family, opened):
    """Qwen3.5's template opens the thought itself; a call inside a thought does not count, in either family."""
    encoder, (messages, tools) = tokenizer(family), opening()
    call = oracle_turns(SCENARIO, 0, "train")[0]
    off, on = (ChatFormat(encoder, thinking) for thinking in (False, True))
    ends = [encoder.decode(chat.prompt(messages, tools)).rpartition("assistant\n")[2] for chat in (off, on)]
    assert ends == ["<think>\n\n</think>\n\n", "<think>\n" if opened else ""]
    thought = ("" if opened else "<think>\n") + "What if:"
    ids = [*encoder.encode(thought), *off.turn(call)[:-1], *encoder.encode("\n</think>\n\nDone.")]
    assert not on.parse(ids, tools).calls
    assert off.parse(off.turn(call), tools) == on.parse(on.turn(call), tools) == call


# --- one sample, however it is scored ---------------------------------------------------------------------------------


def sequences(vocabulary: int) -> tuple[list[list[int]], list[list[int]]]:
    """Siblings that share 20 tokens, drawn from the full vocabulary, and the masks of their other tokens."""
    draw = random.Random(0)
    shared = [draw.randrange(vocabulary) for _ in range(20)]
    ids = [shared + [draw.randrange(vocabulary) for _ in range(length)] for length in (3, 12, 70)]
    return ids, [[0] * 20 + [1] * (len(one) - 20) for one in ids]


def stepwise(model: PreTrainedModel, ids: list[list[int]]) -> list[Tensor]:
    """Each sequence's log-probs from the engine: the shared tokens once, the others one at a time, in one batch."""
    engine = (HybridEngine if is_recurrent(model) else Engine)(model, len(ids), 128)
    prefix = engine.prefix(ids[0][:19])
    for slot in range(len(ids)):
        engine.open(slot, prefix)
    first = engine.extend({slot: one[19:20] for slot, one in enumerate(ids)})
    answers = {slot: [logits] for slot, logits in first.items()}
    for place in range(20, max(map(len, ids)) - 1):
        slots = [slot for slot, one in enumerate(ids) if place < len(one) - 1]
        for slot, logits in zip(slots, engine.decode(slots, [ids[slot][place] for slot in slots]), strict=True):
            answers[slot].append(logits)
    return [
        torch.stack(answers[slot]).log_softmax(-1).gather(1, torch.tensor(one[20:]).unsqueeze(1)).squeeze(1)
        for slot, one in enumerate(ids)
    ]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(qwen3, id="qwen3"),
        pytest.param(lambda: qwen3_5(multimodal=False), id="qwen3.5", marks=pytest.mark.full),
    ],
)
def test_a_samples_logprobs_are_the_same_alone_packed_padded_and_step_by_step(make):
    torch.manual_seed(0)
    model = prepared(make().eval())
    twin, vocabulary = library_copy(model), model.config.vocab_size
    ids, masks = sequences(vocabulary)
    assert max(max(one) for one in ids) > 0.9 * vocabulary
    with torch.no_grad():
        alone = [naive_logprobs(twin, [one], [mask], Sampling())[0] for one, mask in zip(ids, masks, strict=True)]
        padded, _ = token_logprobs(model, pad(ids, masks), Sampling())
        torch.testing.assert_close(padded, torch.cat(alone), rtol=0, atol=TOLERANCE)
        packed, _ = token_logprobs(model, pack(ids, masks), Sampling())
        torch.testing.assert_close(packed, torch.cat(alone), rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(torch.cat(stepwise(model, ids)), torch.cat(alone), rtol=0, atol=TOLERANCE)


@pytest.mark.full  # tests/engine/test_hybrid_engine.py has it at a small size
def test_the_hybrid_in_one_row_would_leak():
    """The control, at the real heads' size: the sequences above, through the library's recurrent layers."""
    torch.manual_seed(0)
    model = prepared(qwen3_5(multimodal=False).eval())
    ids, masks = sequences(model.config.vocab_size)
    unpatch_mixers(model)
    row = pack(ids, masks)
    with torch.no_grad():
        hidden = hidden_states(model, row.ids, row.positions, row.tree)[row.predecessors]
        leaked = output_logits(model, hidden).log_softmax(-1).gather(1, row.targets.unsqueeze(1)).squeeze(1)
        padded, _ = token_logprobs(model, pad(ids, masks), Sampling())
    gaps = [float(part.abs().max()) for part in (leaked - padded).split(row.counts)]
    # Branches are in lexicographic order: no other one lies between the shared tokens and the first.
    assert gaps.pop(ids.index(min(ids))) < TOLERANCE
    assert min(gaps) > 100 * TOLERANCE


@pytest.mark.parametrize(("file", "make"), [("qwen3-1.7b.json", qwen3), ("qwen3.5-4b-text.json", qwen3_5)])
def test_the_small_models_keep_what_matters_of_the_real_ones(file, make):
    real, config = json.loads(reference(file)), make().config.get_text_config()
    sizes = ("vocab_size", "head_dim", "num_attention_heads", "num_key_value_heads", "tie_word_embeddings")
    linear = [name for name in real if name.startswith("linear_")]
    for name in (*sizes, *linear):
        assert getattr(config, name) == real[name], name
    rope = {"rope_theta": real["rope_theta"]} if "rope_theta" in real else real["rope_parameters"]
    assert rope.items() <= config.rope_parameters.items()
    assert set(config.layer_types) == set(real.get("layer_types", ["full_attention"]))
