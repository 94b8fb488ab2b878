"""Compares the Triton log-prob kernels with float64, on a GPU if there is one, otherwise under Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels.logprob
from kernels import linear_logprob
from tests.support import gpu_code
from tests.support.logprobs import errors, inputs, results
from tests.support.naive_logprob import reference_linear_logprob
from tests.support.tiers import examples

triton_logprob = pytest.importorskip("kernels.triton_logprob", exc_type=ImportError)
TritonLinearLogprob = triton_logprob.TritonLinearLogprob
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = torch.bfloat16 if DEVICE == "cuda" else torch.float16
"""The interpreter supports products in fp16, but not in bf16."""


def ours(hidden, weight, ids, temperature=1.0, bias=None, softcap=None):
    return TritonLinearLogprob.apply(hidden, weight, ids, temperature, bias, softcap)


def on_device(arguments):
    return tuple(None if part is None else part.to(DEVICE) for part in arguments)


def check(dtype, arguments, temperature, softcap):
    """Checks that the error against float64 is about that of the naive computation in the same precision."""
    exact = results(reference_linear_logprob, torch.float64, arguments, temperature, softcap)
    naive = errors(results(reference_linear_logprob, dtype, arguments, temperature, softcap), exact)
    triton = errors(results(ours, dtype, arguments, temperature, softcap), exact)
    assert all(a <= 3 * b + 2e-6 for a, b in zip(triton, naive, strict=True)), (triton, naive)
    return naive


@settings(max_examples=examples(12), deadline=None)
@given(
    tokens=st.integers(1, 140),
    vocabulary=st.integers(2, 400),
    temperature=st.sampled_from([0.5, 1.0, 1.7]),
    bias=st.booleans(),
    softcap=st.sampled_from([None, 5.0]),
    programs=st.sampled_from([1, 3, 512]),
    chunk=st.sampled_from([1, 1 << 25]),
)
def test_as_accurate_as_the_naive_computation(tokens, vocabulary, temperature, bias, softcap, programs, chunk):
    """Covers splits of the vocabulary and chunks of the backward pass, at sizes that are not multiples of a tile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_logprob, "PROGRAMS", programs)
        patch.setattr(triton_logprob, "CHUNK_ELEMENTS", chunk)
        check(torch.float32, on_device(inputs(tokens, vocabulary, bias, seed=tokens)), temperature, softcap)


def test_half_precision_is_as_accurate_as_the_naive_one():
    naive = check(HALF, on_device(inputs(70, 300, bias=True)), 1.3, None)
    assert min(naive) > 1e-5


@pytest.mark.full
def test_the_largest_vocabulary():
    check(torch.float32, on_device(inputs(3, 248_320)), 1.0, None)


def test_the_comparison_detects_a_wrong_temperature():
    arguments = on_device(inputs(20, 50))
    exact = results(reference_linear_logprob, torch.float64, arguments, 1.0, None)
    wrong = errors(results(ours, torch.float32, arguments, 1.001, None), exact)
    assert all(error > 1e-4 for error in wrong[:4])


@pytest.mark.parametrize("output", [0, 1])
def test_gradient_of_a_single_output(output):
    triton, exact = [], []
    for function, gradients in ((ours, triton), (reference_linear_logprob, exact)):
        hidden, weight, ids, _ = (
            None if part is None else part.float() if part.is_floating_point() else part
            for part in on_device(inputs(33, 90))
        )
        gradients += torch.autograd.grad(
            function(hidden.requires_grad_(), weight.requires_grad_(), ids)[output].sum(), (hidden, weight)
        )
    assert max(errors([g.double() for g in triton], [g.double() for g in exact])) < 1e-5


def test_no_tokens():
    hidden, weight, ids, _ = on_device(inputs(0, 9, dtype=torch.float32))
    values, entropy = ours(hidden.requires_grad_(), weight, ids)
    assert values.shape == entropy.shape == (0,)
    values.sum().backward()


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_a_gpu_uses_the_kernels(monkeypatch):
    calls = []
    monkeypatch.setattr(TritonLinearLogprob, "apply", lambda *arguments: calls.append(arguments) or (None, None))
    linear_logprob(*on_device(inputs(5, 9, dtype=torch.float32))[:3])
    assert calls


def test_a_cpu_uses_the_chunks(monkeypatch):
    monkeypatch.setattr(TritonLinearLogprob, "apply", None)
    assert kernels.logprob.implementation(torch.zeros(2, 3)) is kernels.logprob._LinearLogprob
    linear_logprob(*inputs(5, 9, dtype=torch.float32)[:3])


@pytest.mark.full
@pytest.mark.parametrize(
    ("element", "tiling", "capability", "shared", "stack"),
    [
        ("bf16", "HALF", 80, 163, 400),
        ("bf16", "HALF", 89, 99, 400),
        ("bf16", "HALF", 90, 227, 400),
        ("fp32", "FP32", 80, 99, 0),
    ],
)
def test_machine_code_for_other_gpus(element, tiling, capability, shared, stack):
    """A100, RTX 4090 and H100: the code fits in the shared memory of a multiprocessor [KB], spills few registers [bytes
    per thread], prefetches, and uses tensor cores, except for fp32, which they would round."""
    pytest.importorskip("triton.backends.nvidia")
    sizes = getattr(triton_logprob, tiling)
    constants = {name: value for name, value in sizes.items() if name.startswith("BLOCK")}
    constants |= {"HAS_BIAS": False, "HAS_CAP": False, "PRECISION": "ieee" if element == "fp32" else "tf32"}
    options = {name: sizes[name] for name in ("num_warps", "num_stages")}
    target = (element, constants, options, capability)
    kernels = ("_forward_kernel", "_gradient_kernel")
    for kernel in gpu_code.compile_kernels(*(("kernels.triton_logprob", name, *target) for name in kernels)):
        assert 0 < kernel["shared"] <= shared * 1024 and kernel["stack"] <= stack and kernel["prefetches"]
        assert kernel["tensor_cores"] == (element != "fp32")
