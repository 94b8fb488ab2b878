"""Patched linear layers: which ones are patched, and that their copies are layers of their own."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from grpo.models.fast_layers import FastLinear, forget_packed, patch_linears
from kernels import linear

pytestmark = pytest.mark.skipif(not linear.AVAILABLE, reason="this PyTorch was built without oneDNN")


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def fast_layer() -> FastLinear:
    model = nn.Sequential(nn.Linear(8, 8, bias=False))
    patch_linears(model)
    assert isinstance(model[0], FastLinear)
    return model[0]


@torch.no_grad()
def test_a_patched_layer_computes_by_onednn():
    layer, input = fast_layer(), random(4, 8)
    torch.testing.assert_close(layer(input), input @ layer.weight.T)
    assert layer.packed.value is not None
    forget_packed(nn.Sequential(layer))
    assert layer.packed.value is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@torch.no_grad()
def test_copies_do_not_share_weights(duplicate):
    layer, input = fast_layer(), random(4, 8)
    expected = layer(input)
    other = duplicate(layer)
    layer.weight.zero_()
    torch.testing.assert_close(other(input), expected)
    assert type(other) is type(layer) and other.packed is not layer.packed
    assert layer(input).abs().max() == 0


def test_only_plain_layers_are_patched():
    class Subclass(nn.Linear):
        pass

    model = nn.ModuleDict({"subclass": Subclass(2, 2), "plain": nn.Linear(2, 2)})
    patch_linears(model)
    assert type(model["subclass"]) is Subclass and isinstance(model["plain"], FastLinear)
    assert list(model.state_dict()) == ["subclass.weight", "subclass.bias", "plain.weight", "plain.bias"]
