"""Times a complete GRPO step (rollout and update), single-turn and with tool calls, against TRL's GRPOTrainer.

Both sides get the same random model, and prompts and tool answers of equal length. Every turn ends after the same
number of tokens. TRL uses its environment support, computes the logits of completions only, and runs with both caches.
"""

from __future__ import annotations

import functools
import importlib.util
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, PrinterCallback

from envs.protocol import Env, Observation, Scenario, Split, Tool, Turn
from grpo.bench.measure import OURS, Sides, Work
from grpo.bench.models import SHAPE, device_settings, forward_flops, model_config, random_model
from grpo.chat.template import ChatFormat
from grpo.config import Options
from grpo.engine.engine import Engine
from grpo.errors import UserError
from grpo.models.causal_lm import CausalLM
from grpo.models.checkpoint import Checkpoint
from grpo.models.compatibility import prepare
from grpo.parallel.actor import Actor
from grpo.parallel.optimizer import adamw
from grpo.parallel.policy import TrainingPolicy
from grpo.trainer import Trainer
from rewards.score import Score
from rewards.trace import Call

CASES = (
    {"prompt": 512, "new": 128, "prompts": 4, "group": 8, "turns": 1, "answer": 0},
    {"prompt": 512, "new": 128, "prompts": 4, "group": 8, "turns": 3, "answer": 64},
)
PEER_ROWS = 8
"""TRL's micro-batch size. No other size was measured."""
STOP, START = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|> ' + message.role + ' ' + message.content }}"
    "{%- for call in message.tool_calls or [] %}"
    '{{- \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' + call.function.arguments | tojson '
    "+ '}\\n</tool_call>' }}"
    "{%- endfor %}{{- '<|im_end|> ' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|> assistant ' }}{%- endif %}"
)
"""Qwen's format with one token per word. It omits the tools, since the prompt's length is fixed."""


def works() -> list[Work]:
    """A single turn, and three turns with tool answers between them. Raises UserError if TRL is not installed."""
    if importlib.util.find_spec("trl") is None:
        raise UserError(
            "TRL, the peer of a step, is not installed: pip install -e '.[bench]' in the checkout, or name other work"
        )
    return [work(device_settings() | SHAPE | case) for case in CASES]


def work(settings: dict[str, Any]) -> Work:
    """The arithmetic: one generation, and forward and backward of the packed groups."""
    prompt, new, turns, answer = (settings[name] for name in ("prompt", "new", "turns", "answer"))
    rows, completion = settings["prompts"] * settings["group"], turns * new + (turns - 1) * answer
    config = model_config(settings)
    tokens, pairs = settings["prompts"] * prompt + rows * completion, settings["prompts"] * prompt**2 / 2
    pairs += rows * completion * (prompt + completion / 2)
    sampled = rows * turns * new
    return Work("step", build, settings, sampled, 4 * forward_flops(config, tokens, pairs, sampled))


def build(settings: dict[str, Any]) -> Sides:
    """Our trainer, and TRL with a static or a dynamic cache."""
    peers = {f"TRL, {cache} cache": functools.partial(trl_step, settings, cache) for cache in ("static", "dynamic")}
    return {OURS: lambda: our_trainer(settings).step, **peers}


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer in which each of the words w0, w1, ... is one token."""
    words = ["<unk>", "user", "assistant", "tool"]
    words += [f"w{place}" for place in range(vocabulary - len(words) - 2)]
    backend = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    result = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token=STOP, pad_token="<unk>")
    result.add_special_tokens({"additional_special_tokens": [START, STOP]})
    result.chat_template = TEMPLATE
    return result


@functools.cache
def words(seed: int, count: int) -> str:
    """A random text of `count` tokens."""
    return " ".join(f"w{random.Random(f'{seed}/{place}').randrange(4000)}" for place in range(count))


PROMPT_FRAME = 5
"""Number of tokens around a request: start, user, stop, start, assistant."""


class Chatter:
    """Answers every turn except the last with random words. The reward is a function of the policy's turns."""

    tools: Sequence[Tool] = ()
    trace: tuple[Call, ...] = ()

    def __init__(self, seed: int, settings: Mapping[str, Any]) -> None:
        self.seed, self.settings = seed, settings
        self.turns: list[str] = []

    def reset(self) -> Observation:
        return Observation(({"role": "user", "content": words(self.seed, self.settings["prompt"] - PROMPT_FRAME)},))

    def step(self, turn: Turn) -> Observation:
        self.turns.append(turn.content)
        if len(self.turns) == self.settings["turns"]:
            return Observation((), done=True)
        return Observation(({"role": "tool", "content": words(len(self.turns), self.settings["answer"])},))

    def score(self) -> Score:
        value = reward(" ".join(self.turns))
        return Score(value, {"words": value})


def reward(text: str) -> float:
    """The share of words with an even number."""
    tokens = text.split()
    return sum(word[-1:] in "02468" for word in tokens) / max(1, len(tokens))


class Chat:
    """The scenario of `Chatter`."""

    name = "chatter"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    def env(self, seed: int, split: Split) -> Env:
        return Chatter(seed, self.settings)


class FixedLength(Engine):
    """Ends every turn after exactly `new` tokens: the stop token has probability 1 there, and 0 before."""

    def __init__(self, model: CausalLM, slots: int, max_length: int, new: int, stop: int) -> None:
        super().__init__(model, slots, max_length)
        self.new, self.stop, self.sampled = new, stop, dict.fromkeys(range(slots), 0)

    def extend(self, pending: Mapping[int, Sequence[int]]) -> dict[int, Tensor]:
        logits = super().extend(pending)
        for slot in pending:
            self.sampled[slot] = 0
        return {slot: self._forced([slot], by_slot.unsqueeze(0))[0] for slot, by_slot in logits.items()}

    def decode(self, slots: Sequence[int], ids: Sequence[int]) -> Tensor:
        return self._forced(slots, super().decode(slots, ids))

    @torch.inference_mode()
    def _forced(self, slots: Sequence[int], logits: Tensor) -> Tensor:
        for slot in slots:
            self.sampled[slot] += 1
        logits[:, self.stop] = float("-inf")
        ends = [place for place, slot in enumerate(slots) if self.sampled[slot] == self.new]
        if ends:
            logits[ends] = float("-inf")
            logits[ends, self.stop] = 0.0
        return logits


def our_trainer(settings: dict[str, Any]) -> Trainer:
    """A trainer on `Chatter`; all turns have the same length."""
    turns, new, answer = (settings[name] for name in ("turns", "new", "answer"))
    completion = turns * new + (turns - 1) * (answer + PROMPT_FRAME)
    options = Options(
        prompts_per_step=settings["prompts"],
        group_size=settings["group"],
        rows=settings["prompts"] * settings["group"],
        max_turns=turns,
        max_turn_tokens=new,
        max_episode_tokens=turns * (new + answer + PROMPT_FRAME) + 1,
        token_budget=max(Options.token_budget, settings["prompt"] + settings["group"] * completion),
        steps=1000,
        learning_rate=1e-6,
    )
    model = random_model(settings)
    prepare(model)
    chat = ChatFormat(tokenizer(settings["vocabulary"]))
    (stop,) = chat.stop_ids
    length = settings["prompt"] + options.max_episode_tokens + 1
    engine = FixedLength(model, options.rows, length, new, stop)
    scenarios: dict[str, Scenario] = {"chatter": Chat(settings)}
    actor = Actor(Checkpoint(model, chat.tokenizer), chat, engine, scenarios, options.limits)
    policy = TrainingPolicy(model, options)
    actor.use(policy.rollout_model)
    return Trainer(policy, adamw(policy, options), actor.play, list(scenarios), options)


def trl_step(settings: dict[str, Any], cache: str) -> Callable[[], object]:
    """Builds one step of `GRPOTrainer` with the same prompts, turns, answers, loss and optimizer as ours."""
    import trl.trainer.grpo_trainer as module
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    class Answering:
        """An environment as TRL defines it: public methods are tools."""

        def reset(self, **row: Any) -> None:
            return None

        def look(self) -> str:
            """Looks."""
            return words(1, settings["answer"])

    def turn(tokenizer: Any, ids: Any, **_: Any) -> dict[str, Any]:
        """Every turn calls the tool, whatever was sampled. `max_tool_calling_iterations` ends the episode."""
        call = {"type": "function", "function": {"name": "look", "arguments": {}}}
        return {"role": "assistant", "content": "", "tool_calls": [call]}

    def rewards(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [sum(id % 2 for id in ids) / len(ids) for ids in completion_ids]

    turns, new, answer = (settings[name] for name in ("turns", "new", "answer"))
    rows = settings["prompts"] * settings["group"]
    requests = [words(seed, settings["prompt"] - PROMPT_FRAME) for seed in range(settings["prompts"])]
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=min(rows, PEER_ROWS),
        gradient_accumulation_steps=-(-rows // PEER_ROWS),
        num_generations=settings["group"],
        max_completion_length=turns * new + (turns - 1) * (answer + PROMPT_FRAME),
        generation_kwargs={"max_new_tokens": new, "min_new_tokens": new},
        max_tool_calling_iterations=turns - 1,
        cache_implementation=cache,
        beta=0.0,
        learning_rate=1e-6,
        max_steps=1,
        use_cpu=settings["device"] == "cpu",
        bf16=settings["device"] != "cpu",
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    if turns > 1:
        module.parse_response = turn
    word_tokenizer = tokenizer(settings["vocabulary"])
    word_tokenizer.response_schema = {} if turns > 1 else None
    trainer = GRPOTrainer(
        model=random_model(settings),
        reward_funcs=rewards,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in requests]),
        processing_class=word_tokenizer,
        **({"environment_factory": Answering} if turns > 1 else {}),
    )
    trainer.remove_callback(PrinterCallback)  # keeps standard output for the result
    return trainer.train
