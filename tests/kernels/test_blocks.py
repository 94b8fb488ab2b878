"""Attention to blocks and shared keys must equal attention to all of a row's keys at once, in both implementations."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels.block_table import WORK_FIELDS, Shared, Table
from kernels.blocks import plain_attend_blocks
from kernels.masks import MASKED
from tests.support import gpu_code
from tests.support.tiers import examples

triton_blocks = pytest.importorskip("kernels.triton_blocks", exc_type=ImportError)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCK, KV_HEADS = 16, 2
LAYER = 1
"""The layer in the test, among several whose addresses are in the table."""
ROOT = 3
"""The number of tokens that all rows share."""


class Case:
    """Random inputs of `attend_blocks`: a root that all rows share, prefixes after it, and each row's own tokens."""

    def __init__(
        self,
        prefixes: list[int],
        rows: list[tuple[int, int]],
        groups: int,
        size: int,
        piece: int = 8,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draws the keys, and cuts shared keys into pieces of `piece` tokens.

        prefixes: the number of tokens of each. rows: the prefix of each, and its number of own tokens, 0 for an empty
        row.
        """
        generator = torch.Generator().manual_seed(len(rows))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(DEVICE, dtype)

        rows = sorted(rows)
        self.prefix, self.lengths = [prefix for prefix, _ in rows], [length for _, length in rows]
        counts = [-(-length // BLOCK) for length in self.lengths]
        # Block 0 belongs to no row. The other blocks are assigned in random order.
        order = iter((1 + torch.randperm(sum(counts), generator=generator)).tolist())
        self.blocks = [[next(order) for _ in range(count)] for count in counts]
        blocks, most = 1 + sum(counts), max(counts)
        owner, filled = torch.zeros(blocks, dtype=torch.int64), torch.zeros(blocks, dtype=torch.int64)
        parts: list[list[int]] = []
        for row, row_blocks in enumerate(self.blocks):
            parts.append([*row_blocks, *[-1] * (most - len(row_blocks))])
            for place, block in enumerate(row_blocks):
                owner[block], filled[block] = row, self.lengths[row] - place * BLOCK

        self.query = normal(len(rows), KV_HEADS, groups, size)
        self.keys, self.values = normal(blocks, KV_HEADS, BLOCK, size), normal(blocks, KV_HEADS, BLOCK, size)
        runs = [(0, slice(0, len(rows)), ROOT)]
        for prefix, length in enumerate(prefixes):
            if members := [row for row, (number, _) in enumerate(rows) if number == prefix]:
                runs.append((ROOT, slice(members[0], members[-1] + 1), length))
        self.shared: list[Shared] = []
        self.prefixes = [list[tuple[Tensor, Tensor]]() for _ in rows]
        work, pairs = [], 0
        for first, run, length in runs:
            keys, values = normal(1, KV_HEADS, length, size), normal(1, KV_HEADS, length, size)
            for row in range(run.start, run.stop):
                self.prefixes[row].append((keys[0], values[0]))
            for start in range(0, length, piece):
                end = min(start + piece, length)
                self.shared.append(Shared(keys, values, first, run, slice(start, end)))
                fields = run.start, run.stop, pairs, start, end, length, first
                work.append([*fields, *[0] * 2 * LAYER, keys.data_ptr(), values.data_ptr(), 0, 0])
                for row in range(run.start, run.stop):
                    parts[row].append(blocks + pairs)
                    pairs += 1
        width = max(map(len, parts)) + 1
        positions = torch.tensor([ROOT + prefixes[prefix] + max(length, 1) - 1 for prefix, length in rows])
        table = torch.tensor([[*row, *[-1] * (width - len(row))] for row in parts])
        on_device = (tensor.to(DEVICE) for tensor in (positions, owner, filled, table, torch.tensor(work)))
        self.table = Table(BLOCK, *on_device)

    def reference(self, row: int, scaling: float, window: int | None) -> Tensor:
        """A row's output [kv_heads, groups, D] from all of its keys at once, in float64."""
        suffix = (
            store[self.blocks[row]].transpose(0, 1).flatten(1, 2)[:, : self.lengths[row]]
            for store in (self.keys, self.values)
        )
        sequences = (torch.cat(parts, 1) for parts in zip(*self.prefixes[row], tuple(suffix), strict=True))
        keys, values = (sequence[:, -window if window else 0 :].double() for sequence in sequences)
        scores = self.query[row].double() @ keys.transpose(1, 2) * scaling
        return scores.softmax(-1) @ values

    def largest_error(self, output: Tensor, scaling: float, window: int | None) -> float:
        """The largest error among the rows that are not empty."""
        rows = [row for row, length in enumerate(self.lengths) if length]
        return max(float((output[row] - self.reference(row, scaling, window)).abs().max()) for row in rows)


def in_triton(case: Case, scaling: float, window: int | None) -> Tensor:
    arguments = case.query, case.keys, case.values, case.shared, case.table
    return triton_blocks.attend_blocks_triton(*arguments, LAYER, scaling, window)


def in_pytorch(case: Case, scaling: float, window: int | None) -> Tensor:
    return plain_attend_blocks(case.query, case.keys, case.values, case.shared, case.table, scaling, window)


@settings(max_examples=examples(40), deadline=None)
@given(
    prefixes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    groups=st.sampled_from([1, 2, 5]),
    size=st.sampled_from([8, 16, 24]),
    piece=st.sampled_from([8, 20, 64]),
    window=st.sampled_from([None, 1, 7, 20, 50]),
    tile=st.sampled_from([16, 64]),
)
def test_rows_attend_to_their_blocks_and_to_shared_keys(prefixes, lengths, groups, size, piece, window, tile):
    rows = [(place % len(prefixes), length) for place, length in enumerate(lengths)]
    case, scaling = Case(prefixes, rows, groups, size, piece), 1 / math.sqrt(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_blocks, "QUERY_TILE", tile)
        patch.setattr(triton_blocks, "KEY_TILE", tile)
        for attend in (in_triton, in_pytorch):
            output = attend(case, scaling, window)
            assert output.shape == case.query.shape and output.isfinite().all()
            assert case.largest_error(output, scaling, window) < 1e-5


def test_rows_without_shared_keys():
    case = Case([1], [(0, 20), (0, 3)], 2, 16)
    case.shared, case.prefixes = [], [[(torch.empty(KV_HEADS, 0, 16), torch.empty(KV_HEADS, 0, 16))]] * 2
    case.table = replace(case.table, parts=case.table.parts[:, :2], work=case.table.work[:1, :0])
    for attend in (in_triton, in_pytorch):
        assert case.largest_error(attend(case, 0.25, None), 0.25, None) < 1e-5


def test_half_precision():
    case = Case([5, 13], [(0, 33), (0, 1), (1, 16)], 2, 16, dtype=torch.float16)
    output = in_triton(case, 0.25, None)
    assert output.dtype == torch.float16 and 1e-5 < case.largest_error(output, 0.25, None) < 5e-3


@pytest.mark.parametrize("part", [0, -2])
def test_the_comparison_detects_a_wrong_table(part):
    """A row with another row's block or prefix."""
    case = Case([20, 20], [(0, 20), (1, 20)], 2, 16)
    case.table.parts[0, part] = case.table.parts[1, part]
    for attend in (in_triton, in_pytorch):
        assert case.largest_error(attend(case, 0.25, None), 0.25, None) > 1e-2


@pytest.mark.full
@pytest.mark.parametrize(("capability", "shared"), [(80, 163), (89, 99), (90, 227)])
@pytest.mark.parametrize("kernel", ["_row_kernel", "_shared_kernel"])
def test_machine_code_for_other_gpus(kernel, capability, shared):
    """Qwen3-1.7B's heads on A100, RTX 4090 and H100: no registers are spilled, products use tensor cores, and the code
    fits in shared memory [KB]."""
    pytest.importorskip("triton.backends.nvidia")
    constants, options = {"MASKED": MASKED, "DEPTH": 128, "PRECISION": "tf32"}, {}
    if kernel == "_row_kernel":
        constants |= {"GROUPS": 16, "BLOCK": 64}
    else:
        constants |= {"WORK_FIELDS": WORK_FIELDS}
        constants |= {"QUERIES": triton_blocks.QUERY_TILE, "TOKENS": triton_blocks.KEY_TILE}
        options = {"num_warps": triton_blocks.WARPS}
    (code,) = gpu_code.compile_kernels(("kernels.triton_blocks", kernel, "bf16", constants, options, capability))
    assert code["stack"] == 0 and code["tensor_cores"] and code["shared"] <= shared * 1024
