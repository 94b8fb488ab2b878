"""Packed log-probs and their gradients are those of the padded batch, whatever the sequences share."""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from grpo.errors import UnsupportedModel
from grpo.logprobs import token_logprobs
from grpo.models.attention import NAME
from grpo.models.compatibility import prepare
from grpo.models.token_tree import Node, TokenTree
from grpo.packing import Packed, pack
from grpo.types import Sampling
from tests.support.causal_models import (
    MODELS,
    SHAPE,
    VOCABULARY,
    library_copy,
    library_model,
    naive_logprobs,
    random_model,
)
from tests.support.tiers import examples

CUT = Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.01)


def group(seed: int = 0, prompt: int = 40, members: int = 5) -> tuple[list[list[int]], list[list[int]]]:
    """A prompt and completions of several lengths, two of which begin alike, with masks that have holes."""
    draw = random.Random(seed)

    def tokens(count: int) -> list[int]:
        return [draw.randrange(VOCABULARY) for _ in range(count)]

    shared, opening = tokens(prompt), tokens(12)
    sequences = [shared + (opening if place < 2 else []) + tokens(draw.randint(3, 20)) for place in range(members)]
    masks = [[0] * prompt + [int(draw.random() < 0.7) for _ in sequence[prompt:-1]] + [1] for sequence in sequences]
    return sequences, masks


def gradients(model: PreTrainedModel, values: tuple[Tensor, Tensor]) -> list[Tensor]:
    direction = torch.linspace(-1, 1, len(values[0]))
    mixture = (values[0] * direction).sum() + (values[1] * direction.flip(0)).sum()
    return list(torch.autograd.grad(mixture, list(model.parameters())))


def worst(values: list[Tensor], expected: list[Tensor]) -> float:
    """Largest relative error of any of the tensors."""
    return max(float((a - b).detach().norm() / b.detach().norm()) for a, b in zip(values, expected, strict=True))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.6), CUT])
@pytest.mark.parametrize("kind", MODELS)
def test_equal_to_the_padded_batch(kind, sampling):
    model = random_model(kind)
    twin = library_copy(model)
    sequences, masks = group()
    expected = naive_logprobs(twin, sequences, masks, sampling)
    packed = token_logprobs(model, pack(sequences, masks), sampling)
    assert packed[0].dtype == packed[1].dtype == torch.float32
    assert worst([*packed], [*expected]) < 1e-5
    assert worst(gradients(model, packed), gradients(twin, expected)) < 1e-5


@pytest.mark.parametrize("kind", [kind for kind in MODELS if "window" in kind])
def test_the_comparison_sees_a_forgotten_window(kind: str, inject: Callable[[str], None]) -> None:
    model = random_model(kind)
    sequences, masks = group()
    expected = naive_logprobs(library_copy(model), sequences, masks, Sampling())
    inject("token tree: the sliding window is forgotten")
    assert worst([*token_logprobs(model, pack(sequences, masks), Sampling())], [*expected]) > 1e-3


def test_positions_restart_at_the_end_of_a_prefix():
    packed = pack(*group())
    assert packed.tree.positions.tolist() == packed.positions[0].tolist()


@pytest.mark.parametrize(
    "nodes",
    [
        lambda nodes: (*nodes[:-2], Node(nodes[-2].start, nodes[-2].end, nodes[-1].end), nodes[-1]),
        lambda nodes: (nodes[0]._replace(stop=nodes[0].stop - 1), *nodes[1:]),
        lambda nodes: (*nodes[:-2], Node(nodes[-2].start, nodes[-1].end, nodes[-1].end)),
    ],
    ids=["a leaf sees its neighbour's tokens", "one token does not see the prompt", "two leaves run together"],
)
def test_the_comparison_sees_a_wrong_tree(nodes):
    model = random_model()
    sequences, masks = group()
    packed = pack(sequences, masks)
    broken = replace(packed, tree=TokenTree(nodes(packed.tree.nodes)))
    expected, _ = naive_logprobs(library_copy(model), sequences, masks, Sampling())
    with torch.no_grad():
        values, _ = token_logprobs(model, broken, Sampling())
    assert worst([values], [expected]) > 1e-4


# --- the layout ------------------------------------------------------------------------------------------------------

MODEL = random_model(seed=1)
LIBRARY = library_copy(MODEL)
sequence_lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=24), min_size=1, max_size=8)


def ancestors(tree: TokenTree, token: int) -> list[int]:
    """Places that a token attends to, itself included, by the definition of a tree."""
    places: list[int] = []
    for start, end, stop in tree.nodes:
        if start <= token < stop:
            places += range(start, min(end, token + 1))
    return places


def check_layout(packed: Packed, sequences: list[list[int]], masks: list[list[int]]) -> None:
    ids, positions = packed.ids[0].tolist(), packed.positions[0].tolist()
    scored = [(index, place) for index, mask in enumerate(masks) for place, bit in enumerate(mask) if bit]
    assert packed.counts == tuple(sum(mask) for mask in masks)
    assert packed.targets.tolist() == [sequences[index][place] for index, place in scored]
    for (index, place), predecessor in zip(scored, packed.predecessors.tolist(), strict=True):
        path = ancestors(packed.tree, predecessor)
        assert [ids[token] for token in path] == sequences[index][:place]
        assert [positions[token] for token in path] == list(range(place))


@given(sequence_lists, st.randoms(use_true_random=False))
@settings(max_examples=examples(100), deadline=None)
def test_every_scored_token_has_its_own_history(sequences, draw):
    masks = [[0, *(draw.randrange(2) for _ in sequence[1:])] for sequence in sequences]
    if not any(map(any, masks)):
        with pytest.raises(ValueError, match="no token is scored"):
            pack(sequences, masks)
        return
    packed = pack(sequences, masks)
    check_layout(packed, sequences, masks)
    assert packed.ids.shape[1] <= sum(map(len, sequences))


def test_the_layout_check_sees_a_swapped_token():
    sequences, masks = group()
    packed = pack(sequences, masks)
    ids = packed.ids.clone()
    ids[0, 7] += 1
    with pytest.raises(AssertionError):
        check_layout(replace(packed, ids=ids), sequences, masks)


@given(sequence_lists.filter(lambda sequences: max(map(len, sequences)) > 1))
@settings(max_examples=examples(25), deadline=None)
def test_any_sharing_gives_the_same_logprobs(sequences):
    masks = [[0] + [1] * (len(sequence) - 1) for sequence in sequences]
    with torch.no_grad():
        expected = naive_logprobs(LIBRARY, sequences, masks, Sampling())
        packed = token_logprobs(MODEL, pack(sequences, masks), Sampling())
    torch.testing.assert_close(packed, expected, rtol=1e-4, atol=1e-5)


def test_a_prompt_is_laid_out_once_and_tokens_after_the_last_scored_one_not_at_all():
    prompt = list(range(50))
    sequences = [prompt + [50 + member] * 5 for member in range(8)]
    masks = [[0] * 50 + [1, 1, 1, 0, 0]] * 8
    packed = pack(sequences, masks)
    assert packed.ids.shape == (1, 50 + 8 * 2)
    assert packed.tree.nodes[0] == Node(0, 50, 66)


def test_a_chain_of_prefixes_is_shared_at_both_levels():
    tools, prompts = list(range(60)), [[60] * 30, [59] * 30]
    sequences = [tools + prompt + [member] * 10 for prompt in prompts for member in range(3)]
    masks = [[0] * 90 + [1] * 10] * 6
    assert pack(sequences, masks).ids.shape == (1, 60 + 2 * 30 + 6 * 9)


def test_short_common_stretches_are_not_worth_a_node():
    sequences = [[1, 2] + [member] * 200 for member in range(3)]
    assert len(pack(sequences, [[0] * 201 + [1]] * 3).tree.nodes) == 3


@pytest.mark.parametrize(
    ("sequences", "masks", "message"),
    [
        ([[1, 2, 3]], [[0, 1]], "3 tokens has a mask of 2"),
        ([[1, 2], [1, 2]], [[0, 1]], "shorter"),
        ([[1, 2]], [[1, 1]], "first token"),
        ([[1, 2]], [[0, 0]], "no token is scored"),
        ([], [], "no token is scored"),
    ],
)
def test_masks_that_cannot_be_packed(sequences, masks, message):
    with pytest.raises(ValueError, match=message):
        pack(sequences, masks)


# --- precision and memory options ------------------------------------------------------------------------------------


def test_bfloat16_autocast():
    model = random_model()
    sequences, masks = group()
    packed = pack(sequences, masks)
    exact = token_logprobs(model, packed, Sampling())
    with torch.autocast("cpu", torch.bfloat16):
        half = token_logprobs(model, packed, Sampling())
    assert half[0].dtype == torch.float32
    assert 0 < worst([half[0]], [exact[0]]) < 0.03
    assert worst(gradients(model, half), gradients(model, exact)) < 0.2


SUMS = """
import sys, torch
from grpo.logprobs import token_logprobs
from grpo.packing import pack
from grpo.types import Sampling
from tests.support.causal_models import random_model
torch.set_num_threads(2)
model, prompt = random_model(), list(range(1, 60)) * 8
sequences = [prompt + [1 + (place + member) % 50 for place in range(200)] for member in range(8)]
masks = [[0] * len(prompt) + [1] * 200 for _ in sequences]
sums = set()
for _ in range(12):
    model.zero_grad()
    token_logprobs(model, pack(sequences, masks), Sampling())[0].square().sum().backward()
    sums.add(tuple(float(weight.grad.double().sum()) for weight in model.parameters()))
sys.exit(len(sums) - 1)
"""


@pytest.mark.full
def test_several_threads_add_gradients_in_one_order():
    """The first token of every completion is predicted at one place, whose gradients have to be summed."""
    done = subprocess.run([sys.executable, "-c", SUMS], cwd=Path(__file__).parents[2], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_a_sampled_token_outside_the_cut_stays_possible():
    model = random_model()
    sequences, masks = group()
    values, entropy = token_logprobs(model, pack(sequences, masks), Sampling(top_k=1))
    assert torch.isfinite(values).all() and torch.isfinite(entropy).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model, (values, entropy)))


def test_greedy_choices_have_no_logprob():
    with pytest.raises(ValueError, match="positive temperature"):
        token_logprobs(random_model(), pack(*group()), Sampling(temperature=0.0))


# --- models ----------------------------------------------------------------------------------------------------------


def test_dropout_cannot_be_shared():
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2, attention_dropout=0.1))
    prepare(model)
    model.train()
    with pytest.raises(UnsupportedModel, match="dropout"):
        token_logprobs(model, pack(*group()), Sampling())


def test_a_model_that_is_not_prepared_is_refused():
    with pytest.raises(UnsupportedModel, match="not prepared"):
        token_logprobs(library_model(), pack(*group()), Sampling())


def test_a_prepared_model_still_works_on_whole_sequences_and_refuses_padding():
    model = library_model().train()
    ids = torch.tensor([list(range(20))])
    expected = model(input_ids=ids).logits
    prepare(model)
    assert model.training and model.config._attn_implementation == NAME
    torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, expected, rtol=1e-4, atol=1e-5)
    cache = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="whole, unpadded sequences"):
        model(input_ids=ids[:, :2], past_key_values=cache)
