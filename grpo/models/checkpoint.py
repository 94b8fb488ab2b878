"""Loads and saves models: ordinary Hugging Face directories, and the policy that is embedded in the package.

Some directories contain more than the language model. Qwen3.5's have a vision tower and layers that predict several
tokens at once (MTP). Only the language model is trained. The rest is saved with it unchanged, with the same names and
configuration, so that every program that loads the original also loads the result.
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

# The library's progress bars would interrupt our output.
transformers_logging.disable_progress_bar()

TINY = "tiny"
"""Name of the embedded policy, accepted in place of a directory."""
TINY_DIRECTORY = Path(__file__).parents[1] / "tiny"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class Untouched(NamedTuple):
    """The contents of a checkpoint directory other than the language model and its tokenizer."""

    weights: Mapping[str, Tensor]
    """Name in the files -> weight, in the stored type. A weight is read from disk when it is used."""
    files: Mapping[str, bytes]
    """The processors' settings, and `config.json` if it describes more than the language model."""


class Checkpoint(NamedTuple):
    """A prepared model with its tokenizer."""

    model: CausalLM
    tokenizer: PreTrainedTokenizerBase
    untouched: Untouched = Untouched({}, {})


def load(name: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Checkpoint:
    """Loads a checkpoint directory, or the embedded policy for `tiny`, without network access, and prepares it.

    Weights are converted to `dtype`. The default is fp32, because bf16 weights would round away the small updates of
    reinforcement learning. From a multimodal checkpoint, the language model is loaded. Raises UserError unless the
    directory contains a causal language model with a tokenizer and all of its weights, and these are finite. Raises
    UnsupportedModel if its layers cannot share a prefix.
    """
    if not str(name).strip():
        raise UserError("the model's name is empty: name a Hugging Face checkpoint directory, or `tiny`")
    directory = TINY_DIRECTORY if str(name) == TINY else Path(name)
    if not directory.is_dir():
        hint = "" if str(name) == TINY else " (a Hugging Face checkpoint directory, or `tiny`)"
        raise UserError(f"there is no model in {directory}{hint}")
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} has no config.json: it is not a Hugging Face checkpoint directory")
    with _user_errors(directory):
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # the library's fallback if the files are missing
        raise UserError(f"there is no tokenizer in {directory}: copy tokenizer.json and tokenizer_config.json there")
    with _user_errors(directory):
        model, report = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
        untouched = _untouched(directory, model, report["unexpected_keys"])
    for key, stored, expected in sorted(report["mismatched_keys"]):
        raise UserError(
            f"{directory} cannot be loaded: {key} is {list(stored)} in the weights and {list(expected)} by config.json"
        )
    for key in sorted(report["missing_keys"]):  # the library would initialise them randomly
        raise UserError(f"{directory} cannot be loaded: its weights lack {key}")
    for key, weight in model.named_parameters():
        if not all(bound.isfinite() for bound in weight.aminmax()):
            raise UserError(f"{directory} cannot be loaded: {key} contains values that are not finite")
    model.eval().to(device)
    prepare(model)
    return Checkpoint(model, tokenizer, untouched)


@contextmanager
def _user_errors(directory: Path) -> Iterator[None]:
    """Turns every exception into a UserError, since all that the library raises here is caused by the files."""
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
    `dtype`: the type to store the model's weights in; by default their current type. `weights`: written instead of the
    model's weights. Untrained parts are stored unchanged. MTP layers therefore still predict the initial policy's
    tokens, which makes an inference engine slower but does not change its output. Raises UserError if the directory
    cannot be written (because the disk is full, for example) or replaced. In the latter case the new directory is next
    to it.
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
        raise UserError(f"{directory} could not be written ({error}); its previous content is unchanged") from error
    try:
        if directory.exists():
            shutil.rmtree(directory)
        fresh.rename(directory)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{directory} could not be replaced ({reason}); the new one is in {fresh}") from error


def _untouched(directory: Path, model: Any, unexpected: Collection[str]) -> Untouched:
    """The contents of `directory` that the loader did not put into `model`.

    `unexpected` are the weights that the loader reported. It does not report weights that the model's class ignores.
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
    """Adds the untouched parts to the directory of a saved model, and an index of all weights."""
    for name, content in untouched.files.items():
        (directory / name).write_bytes(content)
    if not untouched.weights:
        return
    # Renamed, because loaders ignore the index if a file has the default name.
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
    """Sets the weights' type in a configuration, where the library writes the type that the model has in memory.

    The file of a multimodal model repeats the type for the language model.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    for part in (content, content.get("text_config", {})):
        part["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
