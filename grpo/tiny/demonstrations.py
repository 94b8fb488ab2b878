"""Demonstrations for the warm start: scripted episodes as token ids, with the mask that a rollout would have."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from envs.protocol import Message, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scripts import POLICIES, Script
from envs.words import LABEL_KINDS, WORDS, Names
from grpo.chat.template import ChatFormat
from grpo.chat.tool_calls import CallFormat, render_turn

REPEATED_WORDS, REPEATED_LABELS, REPEATED_NUMBERS = 16, 6, 6
LONGEST_LIST = 10
IDS = range(10_000, 99_000)


@dataclass(frozen=True)
class Demonstration:
    """One episode: a prompt, the ids after it, and their mask: 1 on the assistant's tokens, including stop tokens."""

    scenario: str
    prompt: list[int]
    bare_prompt: list[int]
    """The prompt without the system message and the tools."""
    ids: list[int]
    mask: list[int]

    def sequence(self, bare: bool) -> tuple[list[int], list[int]]:
        """ids [T] and mask [T] of the episode, with the tools in the prompt or (`bare`) without."""
        prompt = self.bare_prompt if bare else self.prompt
        return prompt + self.ids, [0] * len(prompt) + self.mask


def play(policy: str, scenario: str, seed: int) -> Iterator[tuple[list[Message], Turn]]:
    """Yields a scripted training episode as pairs of messages and the turn that answers them."""
    env = SCENARIOS[scenario].env(seed, "train")
    script: Script = POLICIES[policy](SCENARIOS[scenario], seed, "train")
    observation = env.reset()
    while not observation.done:
        turn = script.turn(observation)
        yield list(observation.messages), turn
        observation = env.step(turn)


def encode(chat: ChatFormat, policy: str, scenario: str, seed: int) -> Demonstration:
    """Encodes a scripted episode as a rollout would record it."""
    tools = SCENARIOS[scenario].env(seed, "train").tools
    (messages, turn), *rest = play(policy, scenario, seed)
    ids = chat.turn(turn)
    mask = [1] * len(ids)
    for answers, turn in rest:
        injected, sampled = chat.continuation(answers), chat.turn(turn)
        ids += [*injected, *sampled]
        mask += [0] * len(injected) + [1] * len(sampled)
    request = [message for message in messages if message["role"] != "system"]
    return Demonstration(scenario, chat.prompt(messages, tools), chat.prompt(request, ()), ids, mask)


def repetition(chat: ChatFormat, rng: random.Random) -> tuple[list[int], list[int]]:
    """A drill as ids [T] and mask [T]: random words, then the same words again. The first copy is masked out.

    In the scenarios, the words of a name come from separate lists. A policy could therefore copy a name by picking a
    word of each list from the context, which fails if the context holds several names. In this drill only the previous
    word predicts the next one: the match that induction heads make (Olsson et al. 2022, arXiv 2209.11895).
    """
    entries = rng.sample(WORDS, REPEATED_WORDS + REPEATED_LABELS)
    for place, kind in enumerate(rng.sample(LABEL_KINDS, REPEATED_LABELS)):
        entries[place] += f"-{kind}"
    entries += map(str, rng.sample(IDS, REPEATED_NUMBERS))
    rng.shuffle(entries)
    text = " ".join(entries)
    prompt, turn = chat.prompt([{"role": "user", "content": text}], ()), chat.turn(Turn(text))
    return prompt + turn, [0] * (len(prompt) + 1) + [1] * (len(turn) - 1)


def choice(chat: ChatFormat, rng: random.Random) -> tuple[list[int], list[int]]:
    """A drill as ids [T] and mask [T]: a list, then its entries in another order. Their beginnings are masked out.

    If the entries were repeated in order, a policy could copy them by counting. In this drill it must find the entry
    with a given beginning. Entries are labels, issue keys, or names with their ids; the beginning of the latter is the
    full name. Ids of one site share their first digits, and names share words. So neither the first digits of an id,
    nor the token before it, nor one word of the name is enough to find it.
    """
    names, length = Names(rng, "train"), rng.randint(3, LONGEST_LIST)
    kind, prefix_words = rng.choice(("label", "key", "id")), 1
    if kind == "label":
        entries = {label.split("-")[0]: json.dumps(label) for label in (names.label() for _ in range(length))}
        prompt_entries = entries
    elif kind == "key":
        entries = {key[0]: f'"{key}-{rng.randrange(1, 250)}"' for key in (names.key() for _ in range(length))}
        prompt_entries = entries
    else:
        draw, number = rng.choice((names.space, names.title, names.project, names.person)), rng.choice(IDS)
        entries, prompt_entries = {}, {}
        for name in (draw() for _ in range(length)):
            number += rng.randint(1, rng.choice((90, 900)))
            entries[name] = f'"{name}", "id": "{number}"'
            prompt_entries[name] = json.dumps({"name": name, "id": str(number)})
            prefix_words = len(name.split())
    prompt = chat.prompt([{"role": "user", "content": "[" + ", ".join(prompt_entries.values()) + "]"}], ())
    turn = chat.turn(Turn("\n".join(rng.sample(list(entries.values()), len(entries)))))
    mask, place = [], 0
    for id in turn:
        piece = chat.tokenizer.decode([id])
        place = 0 if piece == "\n" else place + 1
        # The opening quote of an entry and its first words are not trained: they select the entry.
        mask.append(int(place > 1 + prefix_words))
    return prompt + turn, [0] * len(prompt) + mask


def texts(per_scenario: int) -> Iterator[str]:
    """Yields the training texts of the tokenizer: the messages and turns of noisy episodes."""
    for name in NAMES:
        for seed in range(per_scenario):
            for messages, turn in play("noisy", name, seed):
                yield from (str(message["content"]) for message in messages)
                yield render_turn(turn, CallFormat.JSON)


def generate(chat: ChatFormat, policy: str, first_seed: int, per_scenario: int, processes: int) -> list[Demonstration]:
    """Generates `per_scenario` demonstrations of each scenario in `processes`; task seeds start at `first_seed`."""
    jobs = [(name, seed) for seed in range(first_seed, first_seed + per_scenario) for name in NAMES]
    make: Callable[[tuple[str, int]], Demonstration] = partial(_encode_job, chat, policy)
    with get_context("fork").Pool(processes) as pool:
        return pool.map(make, jobs, chunksize=200)


def _encode_job(chat: ChatFormat, policy: str, job: tuple[str, int]) -> Demonstration:
    return encode(chat, policy, *job)
