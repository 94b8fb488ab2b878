"""Attention to blocks and shared parts is attention to all of a row's keys at once, in Triton as written out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.blocks import MASKED, Table, plain_attend_blocks
from tests.support import gpu_code

triton_blocks = pytest.importorskip("kernels.triton_blocks", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCK, KV_HEADS = 16, 2


class Case:
    """Rows of so many own tokens (none for an empty seat), each behind one of two shared parts or none."""

    def __init__(
        self, lengths: list[int], shared: list[int | None], groups: int, size: int, dtype: torch.dtype = torch.float32
    ) -> None:
        generator = torch.Generator().manual_seed(len(lengths))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(dtype)

        self.shared, self.lengths = shared, lengths
        counts = [-(-length // BLOCK) for length in lengths]
        # Block 0 is nobody's, and the rows' blocks lie in any order.
        order = iter((1 + torch.randperm(sum(counts), generator=generator)).tolist())
        self.own = [[next(order) for _ in range(count)] for count in counts]
        blocks, width = 1 + sum(counts), max(counts) + 1
        owner, filled = torch.zeros(blocks, dtype=torch.int64), torch.zeros(blocks, dtype=torch.int64)
        parts = torch.full((len(lengths), width), -1)
        for row, own in enumerate(self.own):
            for place, block in enumerate(own):
                owner[block], filled[block] = row, lengths[row] - place * BLOCK
                parts[row, place] = block
            if shared[row] is not None:
                parts[row, width - 1] = blocks + row
        self.table = Table(owner, filled, parts)
        self.query = normal(len(lengths), KV_HEADS, groups, size)
        self.keys, self.values = normal(blocks, KV_HEADS, BLOCK, size), normal(blocks, KV_HEADS, BLOCK, size)
        self.prefixes = [(normal(KV_HEADS, 5 + 8 * one, size), normal(KV_HEADS, 5 + 8 * one, size)) for one in range(2)]

    def whole(self, row: int, scaling: float, window: int | None) -> Tensor:
        """A row's output [kv_heads, groups, D] from all of its keys, in float64."""
        prefix = self.shared[row]
        own = [
            store[self.own[row]].transpose(0, 1).flatten(1, 2)[:, : self.lengths[row]]
            for store in (self.keys, self.values)
        ]
        keys, values = (part[:, -window:] if window else part for part in own)
        if prefix is not None:
            keys, values = (torch.cat(both, 1) for both in zip(self.prefixes[prefix], (keys, values), strict=True))
        scores = self.query[row].double() @ keys.double().transpose(1, 2) * scaling
        return scores.softmax(-1) @ values.double()

    def parts(self, scaling: float) -> tuple[Tensor, Tensor]:
        """Outputs and log-sum-exps of every row's shared part, whether it has one or not."""
        outputs, lses = [], []
        for row, prefix in enumerate(self.shared):
            keys, values = self.prefixes[prefix or 0]
            scores = (self.query[row].float() @ keys.float().transpose(1, 2)) * scaling
            lses.append(scores.logsumexp(-1))
            outputs.append(scores.softmax(-1).to(values.dtype) @ values)
        return torch.cat(outputs, 1), torch.cat(lses, 1)

    def mask(self, window: int | None) -> Tensor:
        behind = (self.table.filled.unsqueeze(1) - 1 - torch.arange(BLOCK))[:, None, None]
        hidden = (behind < 0) | (behind >= (window or 1 << 30))
        return torch.zeros(hidden.shape).masked_fill(hidden, MASKED)


def in_triton(case: Case, scaling: float, window: int | None) -> Tensor:
    given = [part.to(DEVICE) for part in (case.query, case.keys, case.values)]
    shared = tuple(part.to(DEVICE) for part in case.parts(scaling))
    table = Table(*(part.to(DEVICE) for part in case.table))
    return triton_blocks.attend_blocks_triton(*given, shared, table, scaling, window).cpu()


def written_out(case: Case, scaling: float, window: int | None) -> Tensor:
    return plain_attend_blocks(
        case.query, case.keys, case.values, case.parts(scaling), case.table, scaling, case.mask(window)
    )


def worst(found: Tensor, case: Case, scaling: float, window: int | None) -> float:
    """Largest error of a row that has keys."""
    rows = [row for row, length in enumerate(case.lengths) if length]
    return max(float((found[row] - case.whole(row, scaling, window)).abs().max()) for row in rows)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4).filter(any),
    shared=st.lists(st.sampled_from([None, 0, 1]), min_size=4, max_size=4),
    groups=st.sampled_from([1, 2, 5]),
    size=st.sampled_from([8, 16, 24]),
    window=st.sampled_from([None, 7, 20]),
)
def test_rows_see_their_own_keys_and_their_prefix(lengths, shared, groups, size, window):
    case, scaling = Case(lengths, shared[: len(lengths)], groups, size), 1 / math.sqrt(size)
    for attend in (in_triton, written_out):
        found = attend(case, scaling, window)
        assert found.shape == case.query.shape and found.isfinite().all()
        assert worst(found, case, scaling, window) < 1e-5


def test_half_precision():
    case = Case([33, 1, 16], [0, None, 1], 2, 16, torch.float16)
    found = in_triton(case, 0.25, None)
    assert found.dtype == torch.float16 and 1e-5 < worst(found, case, 0.25, None) < 5e-3


def test_the_comparison_sees_a_wrong_table():
    case = Case([20, 20], [0, 1], 2, 16)
    case.table.parts[0, 1] = case.table.parts[1, 1]
    for attend in (in_triton, written_out):
        assert worst(attend(case, 0.25, None), case, 0.25, None) > 1e-2


@pytest.mark.parametrize("capability", [80, 90])
def test_the_code_for_gpus_that_are_not_here(capability):
    """Qwen3-1.7B's heads on an A100 and an H100: no register is spilled, products are on tensor cores."""
    pytest.importorskip("triton.backends.nvidia")
    constants = {"MASKED": MASKED, "GROUPS": 16, "BLOCK": 64, "DEPTH": 128, "PRECISION": "tf32"}
    (kernel,) = gpu_code.compiled(("kernels.triton_blocks", "_kernel", "bf16", constants, {}, capability))
    assert kernel["stack"] == 0 and kernel["tensor_cores"] and kernel["shared"] <= 99 * 1024
