"""oneDNN's linear layers must compute the same function and gradients as plain ones, also after weight updates."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from kernels import PackedWeight, fast_linear, linear
from kernels.linear import PACKED_ROWS, product

pytestmark = pytest.mark.skipif(not linear.AVAILABLE, reason="this PyTorch was built without oneDNN")
SHAPES = [(1, 1, 1), (1, 33, 7), (5, 64, 96), (PACKED_ROWS, 48, 100), (PACKED_ROWS + 1, 48, 100), (700, 31, 65)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class OneDnnLinear(nn.Linear):
    """A linear layer that computes by `fast_linear`."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None)
        self.load_state_dict(plain.state_dict())
        self.packed = PackedWeight()

    def forward(self, input: Tensor) -> Tensor:
        return fast_linear(input, self.weight, self.bias, self.packed)


def layers(features: int, out: int, bias: bool) -> tuple[nn.Linear, OneDnnLinear]:
    """A plain layer, and one with the same weights that computes by `fast_linear`."""
    plain = nn.Linear(features, out, bias=bias)
    return plain, OneDnnLinear(plain)


def error(values: Tensor, exact: Tensor) -> float:
    return float((values.detach().double() - exact.detach()).abs().max())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("rows", "features", "out"), SHAPES)
def test_it_is_as_accurate_as_the_plain_layer(rows, features, out, bias):
    plain, fast = layers(features, out, bias)
    exact = copy.deepcopy(plain).double()
    data = random(rows, features)
    results = []
    for layer, dtype in ((plain, torch.float32), (fast, torch.float32), (exact, torch.float64)):
        input = data.to(dtype).clone().requires_grad_()
        output = layer(input)
        with torch.no_grad():
            without_gradient = layer(input)
        (output * random(rows, out, seed=1)).sum().backward()
        results.append([output, without_gradient, input.grad, *(weight.grad for weight in layer.parameters())])
    for baseline, ours, reference in zip(*results, strict=True):
        assert ours.shape == reference.shape
        assert error(ours, reference) <= 2 * error(baseline, reference) + 1e-6 * float(reference.detach().abs().max())


def test_other_layouts_of_the_input():
    plain, fast = layers(6, 10, True)
    with torch.no_grad():
        for input in (random(2, 3, 6), random(2, 6, 3).transpose(1, 2), random(8, 12)[:, ::2], random(6), random(0, 6)):
            torch.testing.assert_close(fast(input), plain(input))


def test_weight_updates_take_effect():
    plain, fast = layers(8, 8, False)
    input = random(4, 8)
    with torch.inference_mode():
        fast(input)
    assert fast.packed.value is not None
    optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)
    fast(input).square().sum().backward()
    assert fast.packed.value is None, "training must not hold a second copy of the weights"
    with torch.no_grad():
        fast(input)
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(fast(input), input @ fast.weight.T)
        fast.load_state_dict(plain.state_dict())
        torch.testing.assert_close(fast(input), plain(input))
        fast.weight.data = random(8, 8, seed=2)
        torch.testing.assert_close(fast(input), input @ fast.weight.T)


def test_pytorch_computes_what_onednn_does_not_support():
    plain, fast = layers(8, 8, False)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(fast).double()(random(4, 8).double()), plain.double()(random(4, 8).double()))
        with torch.autocast("cpu", torch.bfloat16):
            assert fast(random(4, 8)).dtype == torch.bfloat16
        assert product(random(2, 3).half(), random(4, 3).half()).dtype == torch.float16
