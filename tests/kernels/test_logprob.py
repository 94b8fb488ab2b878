"""Compares the fused log-prob with float64, bounded by the naive computation's error, and checks its memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kernels import linear_logprob, logprob
from tests.support.live_memory import LiveMemory
from tests.support.logprobs import errors, inputs, results
from tests.support.naive_logprob import reference_linear_logprob
from tests.support.tiers import examples


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(logprob, "CHUNK_ELEMENTS", 1000)


@settings(max_examples=examples(60), deadline=None)
@given(
    tokens=st.integers(1, 67),
    vocabulary=st.integers(2, 211),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    bias=st.booleans(),
    softcap=st.sampled_from([None, 5.0]),
    chunk=st.sampled_from([1, 3001, 1 << 21]),
)
def test_as_accurate_as_the_naive_computation(tokens, vocabulary, temperature, bias, softcap, chunk):
    arguments = inputs(tokens, vocabulary, bias, seed=tokens)
    exact = results(reference_linear_logprob, torch.float64, arguments, temperature, softcap)
    naive = errors(results(reference_linear_logprob, torch.float32, arguments, temperature, softcap), exact)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logprob, "CHUNK_ELEMENTS", chunk)
        ours = errors(results(linear_logprob, torch.float32, arguments, temperature, softcap), exact)
        assert max(errors(results(linear_logprob, torch.float64, arguments, temperature, softcap), exact)) < 1e-12
    assert all(a <= 3 * b + 2e-6 for a, b in zip(ours, naive, strict=True)), (ours, naive)


def test_the_comparison_detects_a_wrong_temperature():
    arguments = inputs(20, 50)
    exact = results(reference_linear_logprob, torch.float64, arguments, 1.0, None)
    wrong = errors(results(linear_logprob, torch.float32, arguments, 1.001, None), exact)
    assert all(error > 1e-4 for error in wrong[:4])


@pytest.mark.full
def test_gradients_by_finite_differences(small_chunks):
    hidden, weight, ids, bias = inputs(20, 70, bias=True)
    leaves = [part.requires_grad_() for part in (hidden, weight, bias) if part is not None]
    for softcap in (None, 3.0):
        assert torch.autograd.gradcheck(lambda h, w, b: linear_logprob(h, w, ids, 0.8, b, softcap), leaves)  # noqa: B023


@pytest.mark.parametrize(
    ("with_entropy", "computations"), [(False, {0: 10, 2 * 16 * 90 * 4: 8, 10**6: 5}), (True, {10**6: 10})]
)
def test_the_backward_pass_recomputes_only_the_other_rows(with_entropy, computations, small_chunks, monkeypatch):
    """Five chunks of up to 16 rows. The forward pass computes all of them, the backward pass those without e^logits."""
    arguments = inputs(66, 90, bias=True)
    exact = gradients(arguments, 0, with_entropy)
    arguments = tuple(part.float() if part.is_floating_point() else part for part in arguments)
    naive, calls, compute = errors(gradients(arguments, 0, with_entropy), exact), [], logprob._logits
    monkeypatch.setattr(logprob, "_logits", lambda *arguments: calls.append(1) or compute(*arguments))
    for keep, count in computations.items():
        calls.clear()
        ours = errors(gradients(arguments, keep, with_entropy), exact)
        assert len(calls) == count
        assert all(a <= 2 * b + 1e-7 for a, b in zip(ours, naive, strict=True)), (keep, ours, naive)


def gradients(arguments: tuple[Tensor, ...], keep: int, with_entropy: bool) -> list[Tensor]:
    """Log-probs, and the gradients of hidden, weight and bias."""
    hidden, weight, ids, bias = arguments
    leaves = [part.clone().requires_grad_() for part in (hidden, weight, bias)]
    values, entropy = linear_logprob(leaves[0], leaves[1], ids, 0.8, leaves[2], keep=keep)
    (values.square().sum() + (entropy.square().sum() if with_entropy else 0.0)).backward()
    return [values.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("output", [0, 1])
def test_gradient_of_a_single_output(output, small_chunks):
    ours, exact = [], []
    for function, gradients in ((linear_logprob, ours), (reference_linear_logprob, exact)):
        hidden, weight, ids, _ = inputs(33, 90)
        hidden.requires_grad_()
        weight.requires_grad_()
        gradients += torch.autograd.grad(function(hidden, weight, ids)[output].sum(), (hidden, weight))
    assert max(errors(ours, exact)) < 1e-12


def test_frozen_head_gets_no_gradient():
    hidden, weight, ids, _ = inputs(5, 9)
    linear_logprob(hidden.requires_grad_(), weight, ids)[0].sum().backward()
    assert weight.grad is None and hidden.grad is not None


def test_low_precision_is_as_accurate_as_naive_low_precision():
    """Under autocast, the products are in bfloat16; the softmax is not."""
    arguments = inputs(64, 200)
    exact = results(reference_linear_logprob, torch.float64, arguments, 1.0, None)
    with torch.autocast("cpu", torch.bfloat16):
        naive = errors(results(reference_linear_logprob, torch.float32, arguments, 1.0, None), exact)
        ours = errors(results(linear_logprob, torch.float32, arguments, 1.0, None), exact)
        assert linear_logprob(*(part.float() for part in arguments[:2]), arguments[2])[0].dtype == torch.float32
    assert all(a <= 1.5 * b for a, b in zip(ours, naive, strict=True)), (ours, naive)
    assert min(naive) > 1e-4


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return output


@pytest.mark.parametrize(("function", "holds_all_logits"), [(linear_logprob, False), (reference_linear_logprob, True)])
def test_never_holds_all_logits(function, holds_all_logits, small_chunks):
    hidden, weight, ids, _ = inputs(400, 100, dtype=torch.float32)
    with LargestTensor() as largest:
        values = function(hidden.requires_grad_(), weight.requires_grad_(), ids)
        (values[0].sum() + values[1].sum()).backward()
    assert (largest.elements >= 400 * 100) == holds_all_logits
    if not holds_all_logits:
        assert largest.elements <= max(hidden.numel(), weight.numel(), 16 * 100)


def test_no_tokens():
    hidden, weight, ids, _ = inputs(0, 9)
    values, entropy = linear_logprob(hidden.requires_grad_(), weight, ids)
    assert values.shape == entropy.shape == (0,)
    values.sum().backward()


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_positive(temperature):
    hidden, weight, ids, _ = inputs(3, 9)
    with pytest.raises(ValueError, match="temperature"):
        linear_logprob(hidden, weight, ids, temperature)


@pytest.mark.full
def test_memory_at_full_size_is_a_twentieth_of_the_naive_one():
    """Forward and backward pass over 8,192 tokens with Qwen3-1.7B's head, without the inputs and their gradients."""
    peaks = []
    for function in (linear_logprob, reference_linear_logprob):
        with FakeTensorMode():
            hidden = torch.empty(8192, 2048, requires_grad=True)
            weight = torch.empty(151_936, 2048, requires_grad=True)
            ids = torch.empty(8192, dtype=torch.int64)
            with LiveMemory() as memory:
                values, entropy = function(hidden, weight, ids)
                (values.sum() + entropy.sum()).backward()
            peaks.append(memory.peak - hidden.nbytes - weight.nbytes)
    ours, naive = peaks
    assert naive > 2 * 8192 * 151_936 * 4
    assert ours < 0.05 * naive
