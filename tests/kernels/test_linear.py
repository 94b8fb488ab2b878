"""Linear layers by oneDNN: the same function, gradients and changes of weights included."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from kernels import linear, use_fast_linears
from kernels.linear import PACKED_ROWS, FastLinear, product

pytestmark = pytest.mark.skipif(not linear.AVAILABLE, reason="this PyTorch was built without oneDNN")
SHAPES = [(1, 1, 1), (1, 33, 7), (5, 64, 96), (PACKED_ROWS, 48, 100), (PACKED_ROWS + 1, 48, 100), (700, 31, 65)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layers(features: int, out: int, bias: bool) -> tuple[nn.Linear, nn.Linear]:
    """A plain layer and the same one after the switch."""
    plain = nn.Linear(features, out, bias=bias)
    fast = nn.Sequential(copy.deepcopy(plain))
    use_fast_linears(fast)
    assert type(fast[0]) is FastLinear
    return plain, fast[0]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.detach().double() - exact.detach()).abs().max())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("rows", "features", "out"), SHAPES)
def test_it_is_as_near_to_the_exact_result_as_the_plain_layer(rows, features, out, bias):
    plain, fast = layers(features, out, bias)
    exact = copy.deepcopy(plain).double()
    given = random(rows, features)
    found = []
    for layer, dtype in ((plain, torch.float32), (fast, torch.float32), (exact, torch.float64)):
        input = given.to(dtype).clone().requires_grad_()
        output = layer(input)
        with torch.no_grad():
            without_gradient = layer(input)
        (output * random(rows, out, seed=1)).sum().backward()
        found.append([output, without_gradient, input.grad, *(weight.grad for weight in layer.parameters())])
    for theirs, ours, right in zip(*found, strict=True):
        assert ours.shape == right.shape
        assert error(ours, right) <= 2 * error(theirs, right) + 1e-6 * float(right.detach().abs().max())


def test_other_layouts_of_the_input():
    plain, fast = layers(6, 10, True)
    with torch.no_grad():
        for given in (random(2, 3, 6), random(2, 6, 3).transpose(1, 2), random(8, 12)[:, ::2], random(6), random(0, 6)):
            torch.testing.assert_close(fast(given), plain(given))


def test_a_changed_weight_is_seen():
    plain, fast = layers(8, 8, False)
    given = random(4, 8)
    with torch.inference_mode():
        fast(given)
    assert fast.packed.value is not None
    optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)
    fast(given).square().sum().backward()
    assert fast.packed.value is None, "in training no second copy of the weights is held"
    with torch.no_grad():
        fast(given)
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(fast(given), given @ fast.weight.T)
        fast.load_state_dict(plain.state_dict())
        torch.testing.assert_close(fast(given), plain(given))
        fast.weight.data = random(8, 8, seed=2)
        torch.testing.assert_close(fast(given), given @ fast.weight.T)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_have_weights_of_their_own(duplicate):
    _, fast = layers(8, 8, False)
    given = random(4, 8)
    with torch.no_grad():
        expected = fast(given)
        other = duplicate(fast)
        fast.weight.zero_()
        torch.testing.assert_close(other(given), expected)
        assert fast(given).abs().max() == 0


def test_what_onednn_does_not_serve_is_computed_as_before():
    plain, fast = layers(8, 8, False)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(fast).double()(random(4, 8).double()), plain.double()(random(4, 8).double()))
        with torch.autocast("cpu", torch.bfloat16):
            assert fast(random(4, 8)).dtype == torch.bfloat16
        assert product(random(2, 3).half(), random(4, 3).half()).dtype == torch.float16


def test_only_plain_layers_are_switched():
    class Own(nn.Linear):
        pass

    model = nn.ModuleDict({"own": Own(2, 2), "plain": nn.Linear(2, 2)})
    use_fast_linears(model)
    assert type(model["own"]) is Own and type(model["plain"]) is FastLinear
    assert list(model.state_dict()) == ["own.weight", "own.bias", "plain.weight", "plain.bias"]
