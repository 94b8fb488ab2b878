"""Models on disk: ordinary Hugging Face directories, and the policy that is embedded in the package."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from grpo.cli import UserError

# One file is read or written at a time; bars for that only break up our own.
transformers_logging.disable_progress_bar()

TINY = "tiny"
"""Names the embedded policy wherever a directory is expected."""
TINY_DIRECTORY = Path(__file__).parent / "tiny"


class Checkpoint(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(name: str | Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Loads a checkpoint directory, or the embedded policy for `tiny`, without touching the network.

    Weights come up in `dtype`, whatever type they are stored in: the small steps of reinforcement learning are lost in
    bf16 weights. Raises UserError where the directory holds no causal language model with a tokenizer.
    """
    directory = TINY_DIRECTORY if str(name) == TINY else Path(name)
    if not directory.is_dir():
        hint = "" if str(name) == TINY else " (a Hugging Face checkpoint directory, or `tiny`)"
        raise UserError(f"there is no model in {directory}{hint}")
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} has no config.json: it is not a Hugging Face checkpoint directory")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{directory} cannot be loaded: {str(error).splitlines()[0]}") from error
    return Checkpoint(model.eval(), tokenizer)


def save(checkpoint: Checkpoint, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Writes a checkpoint directory in Hugging Face format (safetensors, tokenizer, chat template).

    A directory that is there is replaced only when the new one is complete, so that an interruption leaves one of
    the two. `dtype` stores the weights in that type; by default they keep theirs.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}")
    weights = {name: value.to(dtype or value.dtype) for name, value in checkpoint.model.state_dict().items()}
    checkpoint.model.save_pretrained(fresh, state_dict=weights)
    if dtype is not None:
        _state_dtype(fresh / "config.json", dtype)
    checkpoint.tokenizer.save_pretrained(fresh)
    if directory.exists():
        shutil.rmtree(directory)
    fresh.rename(directory)


def _state_dtype(config: Path, dtype: torch.dtype) -> None:
    """The library writes the type that the model has in memory; a loader goes by what the file says."""
    content = json.loads(config.read_text(encoding="utf-8"))
    content["dtype"] = str(dtype).removeprefix("torch.")
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
