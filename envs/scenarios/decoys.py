"""Sentences that name two candidates of one kind and say which is meant.

They stand in requests of difficulty 2 and 3, so that no position, no quotation mark and no single word tells which of
two names a request is about. The right one comes first as often as second.
"""

from __future__ import annotations

from envs.phrasing import Frames
from envs.scenarios.drafting import Draft

ASKED = 0.8
"""The share of the requests of difficulty 2 and 3 with such a sentence."""
PARTIES = ("the auditors", "the designers", "our customers", "the testers", "the managers", "our partners")

FRAMES = Frames(
    train=(
        "[the|as for the] {noun}[ that I mean|]: {wrong} was my first idea, but [it should be|I now mean] {right}.",
        "[the|as for the] {noun}: {right} was my first idea, and after some talk about {wrong} it still is.",
        "we talked about {wrong} and {right} as the {noun} and took the [second|latter].",
        "we talked about {right} and {wrong} as the {noun} and took the [first|former].",
        "{A} want {right} as the {noun}, {B} want {wrong}, and {A} decide[ this|].",
        "{B} want {wrong} as the {noun}, {A} want {right}, and {A} decide[ this|].",
        "{A} want {right} as the {noun}, {B} want {wrong}. please listen to the first of them.",
        "{B} want {wrong} as the {noun}, {A} want {right}. please listen to the second of them.",
        "[take|use] {right} as the {noun}[ and|,] not {wrong}.",
        "[do not|never] [take|use] {wrong} as the {noun}: {right} is [better|meant].",
        "as the {noun}, [take|use] {right}. yesterday I wrote {wrong}, which was a mistake.",
        "[yesterday I wrote|I wrote yesterday] that the {noun} is {wrong}, which was a mistake: it is {right}.",
        "of the two, {right} and not {wrong} is the {noun}.",
        "yesterday I wrote that the {noun} is {right}. today {B} told me that it is {wrong}, but that was a mistake.",
        "between {right} and {wrong} as the {noun}, the [first|former] is [better|right].",
        "between {wrong} and {right} as the {noun}, the [second|latter] is [better|right].",
        "{wrong} would be the wrong {noun}; {right} is the right one.",
        "{right} is the right {noun}; {wrong} would be the wrong one.",
        "it is {right}, not {wrong}, that [I mean|we need] as the {noun}.",
        "it is not {wrong} that [I mean|we need] as the {noun}, it is {right}.",
        "[as the {noun}|as for the {noun}], {wrong} will not do, {right} will.",
        "[as the {noun}|as for the {noun}], {right} will do, {wrong} will not.",
        "where somebody told you that the {noun} is {wrong}, read {right}.",
        "read {right} where somebody told you that the {noun} is {wrong}.",
        "{B} told you that the {noun} is {wrong}, I know. it is {right} all the same.",
        "{B} wrote that they want {wrong}. I know. but as the {noun} I need {right}. listen to me.",
        "the {noun} is {right}, whatever {B} told you about {wrong}.",
    ),
    heldout=(
        "of {right} and {wrong}, the [former|first] will do as the {noun}.",
        "of {wrong} and {right}, the [latter|second] will do as the {noun}.",
        "{A} wrote yesterday that they want {right} as the {noun}, {B} that they want {wrong}. listen to {A}.",
        "I know that {B} want {wrong}, but as the {noun} it is {right} that we took.",
        "{right}, and not {wrong} as I wrote yesterday, is the {noun}.",
        "the {noun} would be {wrong} where {B} decide, but {A} decide, and it is {right} that they want.",
        "of {right} and {wrong}, use the [former|first] as the {noun}.",
        "of {wrong} and {right}, use the [latter|second] as the {noun}.",
        "it was a mistake, after some talk, that I wrote {wrong} as the {noun}: we need {right}.",
    ),
)


def decoy(draft: Draft, noun: str, right: str, wrong: str) -> str:
    """A sentence by which `right`, and not `wrong`, is the `noun` ("project", "issue to look at") of the request."""
    first, second = draft.rng.sample(PARTIES, 2)
    parties = {"A": first, "B": second}
    return draft.phrase(FRAMES, noun=noun, right=right, wrong=wrong, **parties)


def is_asked(draft: Draft) -> bool:
    """Whether a request has such a sentence."""
    return draft.difficulty in (2, 3) and draft.rng.random() < ASKED
