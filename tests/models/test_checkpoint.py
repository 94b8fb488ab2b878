"""Checkpoint directories: parts that are not trained are saved unchanged, and damaged ones are refused."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
)

from grpo.errors import UserError
from grpo.models.checkpoint import INDEX, TINY_DIRECTORY, WEIGHTS, Checkpoint, load, save
from tests.support.causal_models import hybrid_model, library_hybrid
from tests.support.tiny import tiny_tokenizer

VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "num_position_embeddings": 16}
PROCESSORS = {"preprocessor_config.json": '{"size": 5}', "video_preprocessor_config.json": '{"frames": 2}\n'}
MTP = "mtp.norm.weight"
NORM = "model.norm.weight"


@pytest.fixture
def published(tmp_path) -> Path:
    """A multimodal Qwen3.5 in bf16 with everything that a published folder has: vision tower, MTP layer, processors."""
    text = library_hybrid().config.to_dict() | {"dtype": "bfloat16"}
    config = Qwen3_5Config(text_config=text, vision_config=VISION | {"out_hidden_size": 32}, tie_word_embeddings=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3_5ForConditionalGeneration(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "published")
    tiny_tokenizer().save_pretrained(tmp_path / "published")
    stored = load_file(tmp_path / "published" / WEIGHTS)
    save_file(stored | {MTP: torch.arange(4.0)}, tmp_path / "published" / WEIGHTS, metadata={"format": "pt"})
    for name, content in PROCESSORS.items():
        (tmp_path / "published" / name).write_text(content, encoding="utf-8")
    return tmp_path / "published"


@torch.no_grad()
def changed(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with all weights changed, as training changes them."""
    for weight in checkpoint.model.parameters():
        weight += 0.1
    return checkpoint


def all_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    return all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))


def test_the_language_model_is_trained_and_the_rest_is_saved_unchanged(published, tmp_path):
    checkpoint = changed(load(published))
    assert type(checkpoint.model).__name__ == "Qwen3_5ForCausalLM"
    before, out = all_tensors(published), tmp_path / "out"
    save(checkpoint, out)
    after = all_tensors(out)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value) == (name == MTP or name.startswith("model.visual.")), name
    text = AutoModelForCausalLM.from_pretrained(out)
    assert text.dtype == torch.float32 and same_weights(text, checkpoint.model)
    multimodal, report = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    assert isinstance(multimodal, Qwen3_5ForConditionalGeneration) and not any(report.values())
    assert same_weights(multimodal.model.language_model, checkpoint.model.model)
    tower = {name: value.float() for name, value in before.items() if name.startswith("model.visual.")}
    loaded = multimodal.state_dict()
    assert len(tower) > 10 and all(torch.equal(loaded[name], value) for name, value in tower.items())


def test_configuration_and_processors_are_the_sources(published, tmp_path):
    save(load(published), tmp_path / "out", torch.float16)
    saved, original = (json.loads((path / "config.json").read_text()) for path in (tmp_path / "out", published))
    for part in (original, original["text_config"]):
        part["dtype"] = "float16"
    assert saved == original
    assert AutoConfig.from_pretrained(tmp_path / "out").architectures == ["Qwen3_5ForConditionalGeneration"]
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.float16
    assert {name: (tmp_path / "out" / name).read_text() for name in PROCESSORS} == PROCESSORS


def test_every_tensor_is_in_the_index(published, tmp_path):
    """Loaders that read only the index, and those that read all of its files, get every tensor once."""
    save(load(published), tmp_path / "out")
    index = json.loads((tmp_path / "out" / INDEX).read_text())["weight_map"]
    stored = {name: path.name for path in (tmp_path / "out").glob("*.safetensors") for name in load_file(path)}
    assert index == stored and WEIGHTS not in stored.values()


def test_a_saved_checkpoint_can_be_trained_and_saved_again(published, tmp_path):
    """A second run begins with the first one's result, and may replace it."""
    save(changed(load(published)), tmp_path / "out")
    first = all_tensors(tmp_path / "out")
    save(changed(load(tmp_path / "out")), tmp_path / "out")
    second = all_tensors(tmp_path / "out")
    assert first.keys() == second.keys()
    unchanged = {name for name in first if torch.equal(first[name], second[name])}
    assert unchanged == {name for name in first if name == MTP or name.startswith("model.visual.")}


def test_the_model_alone_leaves_the_vision_tower_out(published, tmp_path):
    """The control: the library saves only the text model."""
    save(Checkpoint(*load(published)[:2]), tmp_path / "out")
    assert not any("visual" in name for name in all_tensors(tmp_path / "out"))
    with pytest.raises(ValueError, match="Unrecognized configuration"):
        AutoModelForImageTextToText.from_pretrained(tmp_path / "out")


def test_a_text_model_is_saved_without_other_files(tmp_path):
    save(Checkpoint(hybrid_model(), tiny_tokenizer()), tmp_path / "one")
    loaded = load(tmp_path / "one")
    assert not loaded.untouched.weights and not loaded.untouched.files
    save(loaded, tmp_path / "two")
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {path.name for path in (tmp_path / "one").iterdir()} and WEIGHTS in names


def test_other_names_of_the_models_weights_are_not_untouched_parts(tmp_path):
    """A tied head, and names without the model's prefix, are the model's own weights: a stale copy would be loaded."""
    model = hybrid_model()
    save(Checkpoint(model, tiny_tokenizer()), tmp_path / "one")
    stored = {f"model.{name}": value for name, value in model.base_model.state_dict().items()}
    head = {"lm_head.weight": model.lm_head.weight.detach().clone()}
    for extra in (stored | head, model.base_model.state_dict()):
        save_file({name: value.contiguous() for name, value in extra.items()}, tmp_path / "one" / WEIGHTS)
        assert not load(tmp_path / "one").untouched.weights


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint, target = Checkpoint(hybrid_model(), tiny_tokenizer()), tmp_path / "one"
    save(checkpoint, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(checkpoint.tokenizer), "save_pretrained", full)
    with pytest.raises(UserError, match=r"one could not be written .*No space left"):
        save(checkpoint, target)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


@pytest.mark.parametrize("kind", ["file", "dangling link", "link"])
def test_a_target_that_cannot_be_replaced_loses_nothing(kind, tmp_path):
    target = tmp_path / "one"
    if kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to("nowhere" if kind == "dangling link" else ".")
    with pytest.raises(UserError, match=r"one could not be replaced \(.*the new one is in .*one\.\d+$") as refusal:
        save(Checkpoint(hybrid_model(), tiny_tokenizer()), target)
    fresh = Path(str(refusal.value).rpartition(" ")[2])
    assert same_weights(load(fresh).model, hybrid_model())
    assert target.read_text() == "mine" if kind == "file" else target.is_symlink()


def cut_off(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def change_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 2 * config["intermediate_size"]}))


def change_weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return spoil


def remove_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "config.json").write_bytes((TINY_DIRECTORY / "config.json").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_off, "incomplete metadata"),
        (change_size, r"weight is \[32, 48\] in the weights and \[32, 96\] by config.json"),
        (change_weights(lambda weights: weights.pop(NORM)), f"its weights lack {NORM}"),
        (change_weights(lambda weights: weights[NORM][3:].fill_(torch.nan)), f"{NORM} contains values"),
        (change_weights(lambda weights: weights[NORM][3:].fill_(-torch.inf)), "values that are not finite"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not list|list indices must be integers"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "qwen3", "eos_token_id": "x"}'), "eos_to"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "instantiate the backend tokenizer from"),
        (remove_tokenizer, "there is no tokenizer in"),
    ],
    ids=[
        "weights",
        "sizes",
        "missing",
        "nan",
        "infinite",
        "list",
        "type",
        "tokenizer",
        "no tokenizer file",
        "no tokenizer",
    ],
)
def test_a_damaged_folder_is_one_line(spoil, reason, tmp_path):
    save(Checkpoint(hybrid_model(), tiny_tokenizer()), tmp_path / "one")
    spoil(tmp_path / "one")
    with pytest.raises(UserError, match=reason) as refusal:
        load(tmp_path / "one")
    assert str(tmp_path / "one") in str(refusal.value) and "\n" not in str(refusal.value)
