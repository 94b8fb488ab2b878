"""AdamW with its moments in bf16 goes where AdamW goes."""

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from grpo.parallel.half_adamw import HalfAdamW, stochastic_bf16
from grpo.parallel.optimizer import adamw


def descend(states: str, steps: int = 300) -> torch.Tensor:
    """Where a least-squares problem with noisy gradients ends."""
    torch.manual_seed(0)
    model = nn.Linear(16, 1, bias=False)
    inputs, target = torch.randn(256, 16), torch.randn(1, 16)
    optimizer = adamw(model, 0.02, (0.9, 0.999), 1e-8, 0.01, states)
    for step in range(steps):
        batch = inputs[step % 8 :: 8]
        ((model(batch) - batch @ target.T) ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.weight.detach() - target


def test_it_converges_like_adamw():
    full, half = descend("fp32"), descend("bf16")
    start = descend("bf16", steps=0)
    assert half.norm() < 0.05 * start.norm() and full.norm() < 0.05 * start.norm()
    assert (full - half).norm() < 0.02 * start.norm()


def test_one_step_is_adamws():
    assert torch.allclose(descend("bf16", 1), descend("fp32", 1), atol=1e-4)


@pytest.mark.parametrize("states", ["fp32", "bf16"])
def test_weights_with_gradients_below_epsilon_hardly_move(states):
    """With a small epsilon they move as far as all others: AdamW divides each gradient by its own size."""
    moved = {}
    for epsilon in (1e-8, 1e-5):
        model = nn.Linear(2, 1, bias=False)
        start = model.weight.detach().clone()
        optimizer = adamw(model, 0.1, (0.9, 0.999), epsilon, 0.0, states)
        model.weight.grad = torch.tensor([[1e-3, 1e-6]])
        optimizer.step()
        moved[epsilon] = (start - model.weight.detach())[0].tolist()
    assert moved[1e-8] == pytest.approx([0.1, 0.1], rel=0.02)
    assert moved[1e-5] == pytest.approx([0.1, 0.1 / 11], rel=0.02)


def test_rounding_keeps_the_mean():
    """To the nearest, this value would always become 1.0."""
    value = 1.0 + 2**-10
    rounded = stochastic_bf16(torch.full((200_000,), value), torch.Generator().manual_seed(0)).float()
    assert set(rounded.unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert rounded.mean() == pytest.approx(value, abs=2e-4)
    assert torch.tensor(value).bfloat16() == 1.0
    exact = torch.tensor([-3.5, 0.0, 1e-30])
    assert torch.equal(stochastic_bf16(exact[:2], torch.Generator()).float(), exact[:2])


def test_states_take_half_the_memory_and_load_again():
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = HalfAdamW([weight], 0.1, (0.9, 0.999), 1e-8)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = optimizer.state[weight]
    assert {state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {torch.bfloat16}
    other = HalfAdamW([weight], 0.1, (0.9, 0.999), 1e-8)
    other.load_state_dict(optimizer.state_dict())
    loaded = other.state[weight]
    assert {loaded["exp_avg"].dtype, loaded["exp_avg_sq"].dtype} == {torch.bfloat16}
    assert torch.equal(loaded["exp_avg_sq"], state["exp_avg_sq"])


@pytest.mark.parametrize(
    ("device", "states", "fused"), [("cuda", "fp32", True), ("cpu", "fp32", None), ("cuda", "bf16", None)]
)
def test_on_a_gpu_no_temporary_is_as_large_as_the_weights(device, states, fused):
    """`grpo plan` counts none for the optimizer's step."""
    model = nn.Module()
    with FakeTensorMode():
        model.weight = nn.Parameter(torch.empty(2, 2, device=device))
        assert adamw(model, 0.1, (0.9, 0.99), 1e-8, 0.0, states).defaults.get("fused") is fused
