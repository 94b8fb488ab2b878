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
        "the {noun} was {wrong} until {A} [came and |]changed it to {right}.",
        "the {noun} was {wrong} [last week|yesterday] and is {right} [today|now].",
        "the {noun} is {right} [today|now]. it was {wrong} [last week|yesterday].",
        "before it became {right}, the {noun} was {wrong}.",
        "the {noun} has changed from {wrong} to {right}.",
        "the {noun} is {right} again, after a week of {wrong}.",
        "{wrong} had to make room for {right} as the {noun}.",
        "{right} has taken the place of {wrong} as the {noun}.",
        "first I took {wrong} as the {noun}, then {right}, and there it stays.",
        "first I took {right} as the {noun}, then {wrong}, and now I am back at the first.",
        "the {noun} may become {wrong} next week, but until then it is {right}.",
        "tomorrow {wrong} may be the {noun}, today {right} is.",
        "the {noun} is {right} and was never {wrong}.",
        "the {noun} was never {wrong}, it was {right} all the time, and still is.",
        "instead of {wrong}, [take|use] {right} as the {noun}.",
        "[take|use] {right} as the {noun} instead of {wrong}.",
        "I would rather have {right} as the {noun} than {wrong}.",
        "rather than {wrong}, let {right} be the {noun}.",
        "as good as {wrong} may be, {right} is better as the {noun}.",
        "{wrong} is good as the {noun}, but {right} is better.",
        "{right} is better as the {noun} than {wrong}.",
        "{wrong} is worse as the {noun} than {right}.",
        "as the {noun}, nothing is better than {right}, not even {wrong}.",
        "{wrong} may look like the {noun}, but {right} is it.",
        "{right} may not look like the {noun}, but it is. {wrong} only looks like it.",
        "{wrong} came close, but {right} won as the {noun}.",
        "as the {noun}, {wrong} lost against {right}.",
        "as the {noun}, {right} won against {wrong}.",
        "it is not true that {right} is the wrong {noun}: {wrong} is.",
        "{B} told you that {right} is not the {noun}. they were wrong, {wrong} is not.",
        "nobody needs {wrong} as the {noun}, everybody needs {right}.",
        "everybody needs {right} as the {noun}, nobody needs {wrong}.",
        "do not think that {right} is wrong as the {noun}. think that of {wrong}.",
        "do not drop {right} as the {noun}, drop {wrong}.",
        "it would be a mistake to take {wrong} as the {noun}, and none to take {right}.",
        "it was a mistake to say no to {right} as the {noun} and yes to {wrong}.",
        "{right} as the {noun} looks like a mistake, but only {wrong} would be one.",
        "why not {right} as the {noun}? I say yes to it, and no to {wrong}.",
        "no to {wrong} and yes to {right} as the {noun}.",
        "I take back what I said against {right} as the {noun}, and what I said for {wrong}.",
        "I take back {wrong} as the {noun} and say {right}.",
        "forget {wrong}, {right} is the {noun}.",
        "do not forget {right}: it is the {noun}, and {wrong} is not.",
        "without {A}, the {noun} would be {wrong}. with them, it is {right}.",
        "of {right} and {wrong}, only the [second|latter] is out as the {noun}.",
        "of {wrong} and {right}, drop the [first|former] and take the other as the {noun}.",
        "my second idea for the {noun}, {wrong}, is worse than my first, {right}.",
        "my second idea for the {noun}, {right}, is better than my first, {wrong}.",
        "{right} or {wrong} as the {noun}? not the [second|latter].",
        "{wrong} or {right} as the {noun}? not the [first|former].",
        "{wrong} or {right}: the last of them is the {noun}.",
        "{A} and I want {right} as the {noun}, only {B} want {wrong}, and we are more.",
        "{B}, who want {wrong} as the {noun}, have nothing to say here. {A}, who want {right}, have.",
        "{A} say that the {noun} is {right}, {B} say that it is {wrong}, and {B} are wrong.",
        "{B} say that the {noun} is {wrong}, {A} say that it is {right}, and {A} are right.",
        "{B} say that the {noun} is {wrong}, {A} say that it is {right}, and {A} are not wrong.",
        "{B} asked for {wrong} as the {noun}, {A} asked for {right}, and {B} have given in.",
        "{A} asked for {right} as the {noun}, {B} asked for {wrong}, and {B} have given in.",
        "{B} wanted {wrong} as the {noun} until {A} won them over to {right}.",
        "do not listen to {B}, who want {wrong} as the {noun}. listen to {A}, who want {right}.",
        "{A} want {right} as the {noun}. {B} want {wrong}, but do not listen to them.",
        "{B} want {wrong} as the {noun}, {A} want {right}. do as {A} say.",
        "{A} want {right} as the {noun}, {B} want {wrong}. do not do as {B} say.",
        "{B} like {wrong}, {A} like {right}, and the {noun} is what {A} like.",
        "the {noun} is not what {B} like, {wrong}, but what {A} like, {right}.",
        "{A}, who have the last word, say that the {noun} is {right}. {B} say {wrong}.",
        "{B} say that the {noun} is {wrong}. {A}, who have the last word, say {right}.",
        "{right} it is as the {noun}, much as {B} would like {wrong}.",
        "{wrong} it was as the {noun}, {right} it is now.",
        "{wrong} is out, so the {noun} is {right}.",
        "the {noun} is {right}, now that {wrong} is out.",
        "the {noun} has to be {right}, as {wrong} makes no sense.",
        "{wrong} makes no sense as the {noun}, and {right} does.",
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
        "as the {noun}, {right} has won and {wrong} has lost.",
        "the {noun} was {wrong} until last week, but then it became {right}.",
        "{A} are right and {B} are wrong: the {noun} is {right}, not {wrong}.",
        "the {noun}: say no to {wrong} and yes to {right}.",
        "{B}, who are wrong, asked for {wrong} as the {noun}. {A}, who are right, asked for {right}.",
        "do not do as {B} say. they want {wrong} as the {noun}, and {A} want {right}.",
        "as the {noun}, better than {wrong} is {right}.",
        "of {right} and {wrong}, the second has to make room: the first is the {noun}.",
        "{right} was never out as the {noun}, {wrong} is.",
        "I said that {right} is not the {noun}, which was a mistake. {wrong} is not.",
        "rather {right} than {wrong} as the {noun}, say {A}, and they have the last word.",
        "yesterday I was back at {wrong} as the {noun}, but now I say {right}.",
        "{wrong} looks better as the {noun} than {right}, but it is worse.",
        "{wrong} has lost as the {noun}, drop it. {right} has won.",
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
