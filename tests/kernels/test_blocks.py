"""Attention to blocks and shared parts is attention to all of a row's keys at once, in Triton as written out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.blocks import MASKED, NUMBERS, Shared, Table, plain_attend_blocks
from tests.support import gpu_code

triton_blocks = pytest.importorskip("kernels.triton_blocks", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCK, KV_HEADS = 16, 2
LAYER = 1
"""The layer that is asked for, of several whose addresses a table has."""
ROOT = 3
"""Tokens that all rows share."""


class Case:
    """Rows of so many own tokens each (none for an empty seat), behind one of several prefixes in turn; the prefixes
    have so many tokens, after a root that all share, and are cut into pieces of so many."""

    def __init__(
        self,
        prefixes: list[int],
        rows: list[tuple[int, int]],
        groups: int,
        size: int,
        piece: int = 8,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """rows: prefix and own tokens each."""
        generator = torch.Generator().manual_seed(len(rows))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(DEVICE, dtype)

        rows = sorted(rows)
        self.prefix, self.lengths = [prefix for prefix, _ in rows], [length for _, length in rows]
        counts = [-(-length // BLOCK) for length in self.lengths]
        # Block 0 is nobody's, and the rows' blocks lie in any order.
        order = iter((1 + torch.randperm(sum(counts), generator=generator)).tolist())
        self.own = [[next(order) for _ in range(count)] for count in counts]
        blocks, most = 1 + sum(counts), max(counts)
        owner, filled = torch.zeros(blocks, dtype=torch.int64), torch.zeros(blocks, dtype=torch.int64)
        parts: list[list[int]] = []
        for row, own in enumerate(self.own):
            parts.append([*own, *[-1] * (most - len(own))])
            for place, block in enumerate(own):
                owner[block], filled[block] = row, self.lengths[row] - place * BLOCK

        self.query = normal(len(rows), KV_HEADS, groups, size)
        self.keys, self.values = normal(blocks, KV_HEADS, BLOCK, size), normal(blocks, KV_HEADS, BLOCK, size)
        runs = [(0, slice(0, len(rows)), ROOT)]
        for prefix, length in enumerate(prefixes):
            if having := [row for row, (one, _) in enumerate(rows) if one == prefix]:
                runs.append((ROOT, slice(having[0], having[-1] + 1), length))
        self.shared: list[Shared] = []
        self.behind = [list[tuple[Tensor, Tensor]]() for _ in rows]
        work, before = [], 0
        for first, run, length in runs:
            keys, values = normal(1, KV_HEADS, length, size), normal(1, KV_HEADS, length, size)
            for row in range(run.start, run.stop):
                self.behind[row].append((keys[0], values[0]))
            for start in range(0, length, piece):
                end = min(start + piece, length)
                self.shared.append(Shared(keys, values, first, run, slice(start, end)))
                numbers = run.start, run.stop, before, start, end, length, first
                work.append([*numbers, *[0] * 2 * LAYER, keys.data_ptr(), values.data_ptr(), 0, 0])
                for row in range(run.start, run.stop):
                    parts[row].append(blocks + before)
                    before += 1
        width = max(map(len, parts)) + 1
        positions = torch.tensor([ROOT + prefixes[prefix] + max(length, 1) - 1 for prefix, length in rows])
        table = torch.tensor([[*row, *[-1] * (width - len(row))] for row in parts])
        on_device = (tensor.to(DEVICE) for tensor in (positions, owner, filled, table, torch.tensor(work)))
        self.table = Table(BLOCK, *on_device)

    def whole(self, row: int, scaling: float, window: int | None) -> Tensor:
        """A row's output [kv_heads, groups, D] from all of its keys, in float64."""
        own = (
            store[self.own[row]].transpose(0, 1).flatten(1, 2)[:, : self.lengths[row]]
            for store in (self.keys, self.values)
        )
        every = (torch.cat(both, 1) for both in zip(*self.behind[row], tuple(own), strict=True))
        keys, values = (part[:, -window if window else 0 :].double() for part in every)
        scores = self.query[row].double() @ keys.transpose(1, 2) * scaling
        return scores.softmax(-1) @ values

    def worst(self, found: Tensor, scaling: float, window: int | None) -> float:
        """Largest error of a row that has keys of its own, as every row with a token does."""
        rows = [row for row, length in enumerate(self.lengths) if length]
        return max(float((found[row] - self.whole(row, scaling, window)).abs().max()) for row in rows)


def in_triton(case: Case, scaling: float, window: int | None) -> Tensor:
    given = case.query, case.keys, case.values, case.shared, case.table
    return triton_blocks.attend_blocks_triton(*given, LAYER, scaling, window)


def written_out(case: Case, scaling: float, window: int | None) -> Tensor:
    return plain_attend_blocks(case.query, case.keys, case.values, case.shared, case.table, scaling, window)


@settings(max_examples=40, deadline=None)
@given(
    prefixes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    groups=st.sampled_from([1, 2, 5]),
    size=st.sampled_from([8, 16, 24]),
    piece=st.sampled_from([8, 20, 64]),
    window=st.sampled_from([None, 1, 7, 20, 50]),
    tile=st.sampled_from([16, 64]),
)
def test_rows_see_their_own_keys_and_the_shared_ones(prefixes, lengths, groups, size, piece, window, tile):
    rows = [(place % len(prefixes), length) for place, length in enumerate(lengths)]
    case, scaling = Case(prefixes, rows, groups, size, piece), 1 / math.sqrt(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_blocks, "MOST", tile)
        patch.setattr(triton_blocks, "TOKENS", tile)
        for attend in (in_triton, written_out):
            found = attend(case, scaling, window)
            assert found.shape == case.query.shape and found.isfinite().all()
            assert case.worst(found, scaling, window) < 1e-5


def test_rows_without_shared_keys():
    case = Case([1], [(0, 20), (0, 3)], 2, 16)
    case.shared, case.behind = [], [[(torch.empty(KV_HEADS, 0, 16), torch.empty(KV_HEADS, 0, 16))]] * 2
    case.table = replace(case.table, parts=case.table.parts[:, :2], work=case.table.work[:1, :0])
    for attend in (in_triton, written_out):
        assert case.worst(attend(case, 0.25, None), 0.25, None) < 1e-5


def test_half_precision():
    case = Case([5, 13], [(0, 33), (0, 1), (1, 16)], 2, 16, dtype=torch.float16)
    found = in_triton(case, 0.25, None)
    assert found.dtype == torch.float16 and 1e-5 < case.worst(found, 0.25, None) < 5e-3


@pytest.mark.parametrize("part", [0, -2])
def test_the_comparison_sees_a_wrong_table(part):
    """An own block or a prefix taken for another row's."""
    case = Case([20, 20], [(0, 20), (1, 20)], 2, 16)
    case.table.parts[0, part] = case.table.parts[1, part]
    for attend in (in_triton, written_out):
        assert case.worst(attend(case, 0.25, None), 0.25, None) > 1e-2


@pytest.mark.parametrize(("capability", "shared"), [(80, 163), (89, 99), (90, 227)])
@pytest.mark.parametrize("kernel", ["_own_kernel", "_shared_kernel"])
def test_the_code_for_gpus_that_are_not_here(kernel, capability, shared):
    """Qwen3-1.7B's heads on A100, RTX 4090 and H100: no register is spilled, products are on tensor cores, and shared
    memory [KB] suffices."""
    pytest.importorskip("triton.backends.nvidia")
    constants, options = {"MASKED": MASKED, "DEPTH": 128, "PRECISION": "tf32"}, {}
    if kernel == "_own_kernel":
        constants |= {"GROUPS": 16, "BLOCK": 64}
    else:
        constants |= {"NUMBERS": NUMBERS, "QUERIES": triton_blocks.MOST, "TOKENS": triton_blocks.TOKENS}
        options = {"num_warps": triton_blocks.WARPS}
    (code,) = gpu_code.compiled(("kernels.triton_blocks", kernel, "bf16", constants, options, capability))
    assert code["stack"] == 0 and code["tensor_cores"] and code["shared"] <= shared * 1024
