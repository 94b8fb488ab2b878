"""Models on disk: ordinary Hugging Face directories, and the policy that is embedded in the package.

Some directories hold more than the language model. Qwen3.5's have a vision tower and layers that predict several tokens
at once (MTP). Only the language model is trained. The rest is saved with it unchanged, under its names and with its
configuration, so that every program that loads the original loads the result.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from grpo.errors import UserError
from grpo.models.causal_lm import CausalLM
from grpo.models.compatibility import prepare

# One file is read or written at a time; bars for that only break up our own.
transformers_logging.disable_progress_bar()

TINY = "tiny"
"""Names the embedded policy wherever a directory is expected."""
TINY_DIRECTORY = Path(__file__).parents[1] / "tiny"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Untouched(NamedTuple):
    """The contents of a checkpoint directory beside the language model and its tokenizer."""

    weights: Mapping[str, Tensor]
    """By their names in the files, in the type they are stored in. They stay on disk until they are read."""
    files: Mapping[str, bytes]
    """The processors' settings, and `config.json` if it describes more than the language model."""


class Checkpoint(NamedTuple):
    """A prepared model with its tokenizer."""

    model: CausalLM
    tokenizer: PreTrainedTokenizerBase
    untouched: Untouched = Untouched({}, {})


def load(name: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Checkpoint:
    """Loads a checkpoint directory, or the embedded policy for `tiny`, without touching the network, and prepares it.

    Weights get type `dtype`, whatever type they are stored in: bf16 weights would lose the small steps of
    reinforcement learning. Of a multimodal checkpoint the language model is loaded. Raises UserError if the directory
    does not hold a causal language model with a tokenizer and all of its weights as finite numbers, and
    UnsupportedModel if its layers cannot share a prefix.
    """
    if not str(name).strip():
        raise UserError("the model's name is empty: give a Hugging Face checkpoint directory, or `tiny`")
    directory = TINY_DIRECTORY if str(name) == TINY else Path(name)
    if not directory.is_dir():
        hint = "" if str(name) == TINY else " (a Hugging Face checkpoint directory, or `tiny`)"
        raise UserError(f"there is no model in {directory}{hint}")
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} has no config.json: it is not a Hugging Face checkpoint directory")
    with _loading(directory):
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what the library makes of a folder without its files
        raise UserError(f"there is no tokenizer in {directory}: copy tokenizer.json and tokenizer_config.json there")
    with _loading(directory):
        model, report = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
        untouched = _untouched(directory, model, report["unexpected_keys"])
    for key, stored, expected in sorted(report["mismatched_keys"]):
        raise UserError(
            f"{directory} cannot be loaded: {key} is {list(stored)} in the weights and {list(expected)} by config.json"
        )
    for key in sorted(report["missing_keys"]):  # the library fills them with random numbers
        raise UserError(f"{directory} cannot be loaded: its weights lack {key}")
    for key, weight in model.named_parameters():
        if not all(bound.isfinite() for bound in weight.aminmax()):
            raise UserError(f"{directory} cannot be loaded: {key} holds values that are not finite")
    model.eval().to(device)
    prepare(model)
    return Checkpoint(model, tokenizer, untouched)


@contextmanager
def _loading(directory: Path) -> Iterator[None]:
    """Everything that the library raises here is about the files."""
    try:
        yield
    except Exception as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__
        raise UserError(f"{directory} cannot be loaded: {reason}") from error


def save(
    checkpoint: Checkpoint,
    directory: Path,
    dtype: torch.dtype | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a checkpoint directory in Hugging Face format (safetensors, tokenizer, chat template).

    An existing directory is replaced only when the new one is complete, so that an interruption leaves one of the two.
    `dtype` stores the model's weights in that type; by default they keep theirs. `weights` are written instead of the
    model's own. The parts that were not trained are stored unchanged. MTP layers then guess the tokens of the policy
    that training began with, which costs an inference engine speed and does not change its output. Raises UserError if
    the directory cannot be written (a full disk, say) or replaced; the new one is then beside it.
    """
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}")
    source = checkpoint.model.state_dict() if weights is None else weights
    stored = {name: value.to(dtype or value.dtype) for name, value in source.items()}
    type_stored = next(iter(stored.values())).dtype
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.model.save_pretrained(fresh, state_dict=stored)
        checkpoint.tokenizer.save_pretrained(fresh)
        _add(checkpoint.untouched, fresh)
        _state_dtype(fresh / "config.json", type_stored)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise UserError(f"{directory} could not be written ({error}); what was there is as it was") from error
    try:
        if directory.exists():
            shutil.rmtree(directory)
        fresh.rename(directory)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{directory} could not be replaced ({reason}); the new one is in {fresh}") from error


def _untouched(directory: Path, model: Any, unexpected: Collection[str]) -> Untouched:
    """The contents of `directory` that the loader did not put into `model`.

    `unexpected` are the weights that it reported. It does not report those that the model's class declares as ignored.
    """
    ignored = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    loaded, prefix = model.state_dict().keys(), model.base_model_prefix
    weights = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                declared = any(pattern.search(name) for pattern in ignored)
                if (declared or name in unexpected) and name not in loaded and f"{prefix}.{name}" not in loaded:
                    weights[name] = file.get_tensor(name)
    files = list(directory.glob("*processor_config.json"))
    config = directory / "config.json"
    if json.loads(config.read_text(encoding="utf-8")).get("model_type") != model.config.model_type:
        files.append(config)
    return Untouched(weights, {path.name: path.read_bytes() for path in files})


def _add(untouched: Untouched, directory: Path) -> None:
    """Adds the untouched parts to the directory of a saved model, with an index over all weights."""
    for name, content in untouched.files.items():
        (directory / name).write_bytes(content)
    if not untouched.weights:
        return
    # Loaders that find a file of the plain name look no further.
    if (directory / WEIGHTS).exists():
        (directory / WEIGHTS).rename(directory / "model-trained.safetensors")
    save_file(dict(untouched.weights), directory / "model-untouched.safetensors", metadata={"format": "pt"})
    files, size = {}, 0
    for path in sorted(directory.glob("*.safetensors")):
        size += path.stat().st_size
        with safe_open(path, framework="pt") as file:
            files.update(dict.fromkeys(file.keys(), path.name))
    index = {"metadata": {"total_size": size}, "weight_map": files}
    (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _state_dtype(config: Path, dtype: torch.dtype) -> None:
    """Sets the weights' type in a configuration: the library writes the type that the model has in memory.

    A multimodal model's file repeats it for the language model.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    for part in (content, content.get("text_config", {})):
        part["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
