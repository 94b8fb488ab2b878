"""Recorded decode steps give what unrecorded ones give, whichever slots decode; only indices change between replays."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from grpo.engine import cuda_graphs, decode_step, kv_cache
from grpo.engine.engine import Engine
from grpo.engine.kv_cache import Prefix
from tests.support.causal_models import MODELS, random_model
from tests.support.recording import Recording
from tests.support.shadow import Shadow, play, small_pieces

QUICK = "gemma 3, a window in the first layer"
"""The quick tier records this model. `test_engine.py` covers all of them in both tiers, unrecorded."""


@pytest.fixture
def recording(monkeypatch) -> Recording:
    """Engines record on a CPU as well, where a replay runs the step again."""
    small_pieces(monkeypatch)
    stand_in = Recording()
    monkeypatch.setattr(cuda_graphs, "record", stand_in)
    monkeypatch.setattr(Engine, "_records", lambda self: True)
    return stand_in


def shadow_with(
    opened: int, slots: int, prefix: int, first: int = 1, kind: str = "qwen3, grouped queries, tied head"
) -> tuple[Shadow, tuple[Prefix, list[int]]]:
    """An engine of `slots`, the first `opened` of them open on one prefix with `first` tokens each."""
    shadow = Shadow(random_model(kind), slots)
    shared = shadow.prefix(prefix)
    for slot in range(opened):
        shadow.open(slot, shared, first)
    return shadow, shared


@pytest.mark.parametrize(
    "kind", [QUICK, *(pytest.param(kind, marks=pytest.mark.full) for kind in MODELS if kind != QUICK)]
)
def test_logits_are_those_of_a_forward_pass(kind, recording):
    assert play(Shadow(random_model(kind), 6), steps=60) < 5e-5
    assert recording.recorded > 5 and recording.replayed > 5


@pytest.fixture
def calls(recording, monkeypatch) -> list[int]:
    """Engines attend by the GPU's kernels, under Triton's interpreter. Of each call, the last piece's first token."""
    triton_blocks = pytest.importorskip("kernels.triton_blocks", exc_type=ImportError)
    starts = []

    def in_triton(*arguments):
        starts.append(max(part.tokens.start for part in arguments[3]))
        return triton_blocks.attend_blocks_triton(*arguments)

    monkeypatch.setattr(decode_step, "attend_blocks", in_triton)
    monkeypatch.setattr(decode_step, "on_gpu", lambda device, dtype: True)
    monkeypatch.setattr(
        decode_step, "pieces", lambda length, device: [slice(at, min(at + 8, length)) for at in range(0, length, 8)]
    )
    monkeypatch.setattr(kv_cache, "BLOCK", 16)
    return starts


@pytest.mark.full  # the next test runs the kernel in the quick tier
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs Triton's interpreter")
@pytest.mark.parametrize("kind", ["qwen3, grouped queries, tied head", "qwen3, a window in the second layer"])
def test_the_gpus_kernel_reads_the_same_table(kind, recording, calls):
    """Sequences that start and end, with empty lanes, through the kernel that reads each lane's parts alone."""
    assert play(Shadow(random_model(kind), 6), steps=12) < 5e-5
    assert len(calls) >= 24 and recording.replayed and max(calls) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs Triton's interpreter")
def test_a_gpu_replays_one_recording_for_other_slots_and_prompts(recording, calls):
    shadow, first = shadow_with(4, 6, 20, kind="llama, one kv head, biased")
    shadow.open(4, shadow.prefix(30), 5)
    for _ in range(2):
        shadow.decode([0, 1, 2, 3, 4])
    assert (recording.recorded, recording.replayed) == (1, 1)
    shadow.close(4)
    other = shadow.prefix(26)
    for slot, length in ((4, 2), (5, 9)):
        shadow.open(slot, other, length)
    shadow.decode([5, 0, 2, 4])
    shadow.close(0)
    shadow.open(0, other, 3)
    shadow.decode([1, 5, 0, 3, 4])
    shadow.close(1)
    shadow.open(1, first, 1)
    shadow.decode([4, 3, 2, 1, 0])
    assert (recording.recorded, recording.replayed) == (1, 4) and shadow.worst < 5e-5


def test_a_step_is_recorded_the_second_time_and_replayed_while_its_shape_stays(recording, monkeypatch):
    monkeypatch.setattr(kv_cache, "BLOCK", 16)
    shadow, prefix = shadow_with(4, 6, 10)
    for recordings, slots in ((0, [0, 1, 2, 3]), (1, [3, 0]), (1, [2, 1, 3])):
        shadow.decode(slots)
        assert recording.recorded == recordings
    shadow.close(2)
    shadow.decode([0, 1, 3])
    assert (recording.recorded, recording.replayed) == (1, 3), "a closed slot leaves its lane empty"
    shadow.open(2, prefix, 1)
    shadow.decode([2])
    assert shadow.engine.recorder.lanes and len(shadow.engine.recorder.lanes) == cuda_graphs.LANES_STEP
    shadow.open(5, shadow.prefix(3), 1)
    shadow.decode([5, 0, 1, 2, 3])
    assert recording.recorded == 1 and shadow.engine.recorder.replay is None, "another prompt is another shape"
    assert shadow.worst < 5e-5


def test_lanes_without_a_token_change_no_cache(recording):
    shadow, _ = shadow_with(3, 3, 4, first=3)
    pool = shadow.engine.pool
    waiting = pool.table[2, 0]
    before = [store[waiting].clone() for store in pool.keys.values()]
    for _ in range(6):
        shadow.decode([0, 1])
    assert all(torch.equal(store[waiting], old) for store, old in zip(pool.keys.values(), before, strict=True))
    assert 0 not in pool.table[:2, :2], "the first block belongs to no slot"
    shadow.extend({2: 2})
    shadow.decode([2, 0, 1])
    assert shadow.worst < 5e-5


def test_a_step_is_recorded_again_when_the_caches_have_moved(recording, monkeypatch):
    """They grow for slots that are closed again before two slots decode as before."""
    monkeypatch.setattr(kv_cache, "BLOCK", 8)
    shadow, prefix = shadow_with(2, 8, 4)
    for _ in range(3):
        shadow.decode([0, 1])
    places = [store.data_ptr() for store in shadow.engine.pool.keys.values()]
    for slot in range(2, 8):
        shadow.open(slot, prefix, 100)
    for slot in range(2, 8):
        shadow.close(slot)
    assert recording.replayed and places != [store.data_ptr() for store in shadow.engine.pool.keys.values()]
    for _ in range(3):
        shadow.decode([1, 0])
    assert shadow.worst < 5e-5 and recording.recorded == 2


def test_new_weights_are_recorded_again(recording):
    model = random_model()
    answers = []
    for seed in (0, 9):
        model.load_state_dict(random_model(seed=seed).state_dict())
        shadow = Shadow(model, 2)
        shadow.open(0, shadow.prefix(5), 1)
        for _ in range(4):
            shadow.decode([0])
        answers.append(shadow.worst)
        shadow.engine.clear()
        assert shadow.engine.recorder.replay is None and not shadow.engine.recorder.lanes
    assert max(answers) < 5e-5 and recording.recorded > 1


def test_a_step_that_cannot_be_recorded_runs_unrecorded(recording, monkeypatch):
    def refuse(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cuda_graphs, "record", refuse)
    shadow, _ = shadow_with(1, 3, 5)
    with pytest.warns(UserWarning, match="without a CUDA graph: operation not permitted when stream is capturing$"):
        for _ in range(3):
            shadow.decode([0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shadow.decode([0])
    assert shadow.worst < 5e-5


def test_the_stand_in_sees_a_step_that_waits(recording):
    with pytest.raises(AssertionError, match="waits for the device"):
        recording.run(lambda: torch.ones(3)[: int(torch.tensor(2))])


def test_memory_is_bounded_by_the_slots(recording):
    shadow = Shadow(random_model(), 3)
    prefix = shadow.prefix(2)
    for slot in range(3):
        shadow.open(slot, prefix, 1)
        shadow.extend({slot: 100})
    most = 3 * -(-110 // kv_cache.BLOCK) + 1
    assert all(len(store) <= most for store in shadow.engine.pool.keys.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_replays_a_recording_and_works_on_after_one_that_fails():
    source, stream = torch.ones(4, device="cuda"), torch.cuda.current_stream()
    (source * 2).sum()
    replay = cuda_graphs.record(lambda: (source * 2).sum())
    source.fill_(3.0)
    assert replay().item() == 24.0
    with pytest.raises(RuntimeError):
        cuda_graphs.record(lambda: source * source.sum().item())
    assert torch.cuda.current_stream() == stream
    assert (source + 1).sum().item() == 16.0 and cuda_graphs.record(lambda: source + 1)().sum().item() == 16.0
