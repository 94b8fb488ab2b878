"""The benchmarks at toy size: all sides do the same work, and the figures are correct."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import sys
import time
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from grpo.bench import generation, logprob, measure, models, step, update
from grpo.bench.measure import OURS, Work
from grpo.bench.models import SHAPE, device_settings, forward_flops, random_model
from grpo.cli import bench
from grpo.cli.main import main
from grpo.run.metrics import update_metrics
from tests.support import toy_work
from tests.support.tiers import FULL

SMALL: dict[str, Any] = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate": 48, "vocabulary": 4096}
SIZES = {"prompt": 20, "new": 6, "prompts": 2, "group": 3, "turns": 3, "answer": 4}


def settings(**changes: Any) -> dict[str, Any]:
    return {**device_settings(), **SMALL, **SIZES, **changes}


def test_generation_gives_equally_many_tokens_on_every_side():
    sides = generation.build(settings())
    assert next(iter(sides)) == OURS and len(sides) == 3
    for name, make in sides.items():
        rows = make()()
        new = [row[-6:] for row in (rows if name == OURS else rows[:, 20:].tolist())]
        assert [len(row) for row in new] == [6] * 6


@pytest.mark.parametrize("changes", [{}, {"hybrid": True, "layers": 4}], ids=["qwen3", "hybrid"])
def test_updates_have_equal_gradients(monkeypatch, changes):
    gradients: list[list[torch.Tensor]] = []

    def keep(model: torch.nn.Module, set_to_none: bool = True) -> None:
        present = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
        gradients.extend([present] if present else [])
        for weight in model.parameters():
            weight.grad = None

    monkeypatch.setattr(torch.nn.Module, "zero_grad", keep)
    for make in update.build(settings(**changes)).values():
        make()()
    ours, padded = gradients
    assert max(gradient.abs().max() for gradient in ours) > 1e-4
    for mine, theirs in zip(ours, padded, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_logprobs_have_equal_gradients():
    sides = logprob.build({**device_settings(), "tokens": 40, "vocabulary": 300, "hidden": 16, "kept_mb": 1})
    ours, *peers = (make()() for name, make in sides.items() if name != "cut-cross-entropy")
    assert len(peers) >= 2
    for peer in peers:
        for mine, theirs in zip(ours, peer, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("turns", [1, 3])
def test_steps_have_turns_and_answers_of_the_given_lengths(turns):
    result = step.our_trainer(settings(turns=turns)).step()
    episodes, metrics = result.episodes, update_metrics(result.sums)
    assert len(episodes) == 6 and metrics["optimizer_steps"] == 1 and metrics["grad_norm"] > 0
    for episode in episodes:
        assert episode.prompt_length == 20 and episode.turns == turns
        runs = [(bit, len(list(run))) for bit, run in itertools.groupby(episode.mask)]
        assert runs == [(0, 20), *[(1, 6), (0, 4 + step.PROMPT_FRAME)] * (turns - 1), (1, 6)]


def test_step_of_the_peer_trains_on_as_many_tokens(capsys):
    pytest.importorskip("trl")
    for turns in (1, 3):
        metrics = step.trl_step(settings(turns=turns, group=4), "dynamic")().metrics
        assert metrics["completions/mean_length"] == 6 * turns
    assert not capsys.readouterr().out


def test_arithmetic_agrees_with_the_count_of_the_library():
    model = random_model(settings())
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 16, dtype=torch.int64), use_cache=False)
    assert counter.get_total_flops() == pytest.approx(forward_flops(model.config, 16, 16 * 16, 16), rel=0.01)


def test_rounds_are_interleaved_and_the_first_is_thrown_away():
    calls: list[str] = []
    seconds = iter([100.0, 100.0, 1.0, 10.0, 3.0, 30.0, 2.0, 20.0])

    def side(name: str) -> float:
        calls.append(name)
        return next(seconds)

    sides = {name: functools.partial(side, name) for name in ("ours", "peer")}
    assert measure.interleaved(sides, 3) == {"ours": 2.0, "peer": 20.0}
    assert calls == ["ours", "peer"] * 4


def test_seconds_are_those_of_a_clock():
    assert 0.05 <= measure.seconds(lambda: time.sleep(0.05)) < 5


@pytest.mark.full
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured on Linux")
def test_memory_is_that_of_the_first_run():
    (work,) = toy_work.works()
    for name, size in toy_work.MEGABYTES.items():
        side = measure.Side(work, name)
        side.run()
        assert side.extra_mb == pytest.approx(size, abs=20)
        side.run()
        side.end()
        assert side.extra_mb == pytest.approx(size, abs=20) and not side.process.is_alive()


def test_a_side_that_fails_is_named():
    with pytest.raises(RuntimeError, match="update: ours failed in its process"):
        measure.Side(Work("update", toy_work.failing, {}, 1, 1.0), "ours").run()


def test_command_prints_a_table_or_json(monkeypatch, capsys):
    monkeypatch.setattr(logprob, "works", toy_work.works)
    monkeypatch.setattr(measure, "MATRIX", 256)
    if not FULL:  # a new process takes seconds to import torch; the other tests start such ones
        monkeypatch.setattr(measure, "get_context", lambda kind: get_context("fork"))
    assert main(["bench", "logprob", "--repeats", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["work"] == "logprob" and row["peer"] == "peer" and row["settings"] == toy_work.works()[0].settings
    assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"])
    assert (row["ours_mb"], row["peer_mb"]) == pytest.approx(tuple(toy_work.MEGABYTES.values()), abs=20)
    assert row["ours_tokens_per_s"] == pytest.approx(100 / row["ours_s"])
    monkeypatch.setattr(bench, "measure", lambda work, repeats: [row])
    assert main(["bench", "logprob", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "the saved arithmetic allows at most 2.00x" in out and "peer" in out


def test_missing_peer_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["bench", "step"]) == 2
    assert "pip install -e '.[bench]'" in capsys.readouterr().err


def test_every_work_has_its_cases(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for name in bench.AGAINST_PEERS:
        module = {"generation": generation, "logprob": logprob, "update": update, "step": step}[name]
        for work in module.works():
            assert work.name == name and work.tokens > 0 and work.flops > 0
    shared = [work.notes["arithmetic_ratio"] for work in update.works() if work.notes]
    assert 2.5 < shared[0] < 3 and shared[1] > 6
    assert SHAPE["vocabulary"] == 4096 and models.random_model(settings()).num_parameters() < 1e6
