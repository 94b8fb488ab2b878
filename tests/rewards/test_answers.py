"""The closing answer, by plain string rules."""

from __future__ import annotations

from typing import Any

import pytest

from rewards.answers import answered, denies

A, B = {"id": "1", "key": "FOX-1"}, {"id": "2", "key": "FOX-2"}
SITE = {
    "statuses": ["To Do", "In Progress", "In Review", "Done"],
    "priorities": {"1": "Highest", "2": "High", "3": "Medium"},
    "types": {"1": "Epic", "2": "Task", "3": "Sub-task"},
    "resolutions": {"1": "Fixed", "2": "Declined"},
    "users": {"a": "Dana Reyes", "b": "Dana Holm", "c": "Ivan Reyes"},
    "labels": ["quick-win", "quick-win-2", "data"],
    "issues": {
        "1": {"description": "The team is In Review", "comments": ["One thing", "Another  thing"]},
        "2": {"description": "Something else", "comments": []},
    },
}


def ask(field: str, *values: str, issue: Any = A) -> dict[str, Any]:
    return {"issue": issue, "field": field, "values": list(values)}


def judge(answer: str, *questions: dict[str, Any], request: str = "What is it?") -> list[bool]:
    return answered({"site": SITE, "request": request, "questions": list(questions)}, answer)


STATUS = ask("status", "In Review")
NOBODY = ask("assignee")


@pytest.mark.parametrize(
    ("answer", "question", "right"),
    [
        ("In Review", STATUS, True),
        ("The status of FOX-1 is In Review.", STATUS, True),
        ("Done. It is In Review.", STATUS, True),
        ("It is In Review, not Done.", STATUS, False),
        ("To Do, In Progress, In Review or Done", STATUS, False),
        ("in review", STATUS, False),
        ("In Reviewing", STATUS, False),
        ("Done.", STATUS, False),
        ("Done.", ask("status", "Done"), True),
        ("", STATUS, False),
        ("In Review, or none", STATUS, False),
        ("High", ask("priority", "High"), True),
        ("Highest", ask("priority", "High"), False),
        ("Highest, High", ask("priority", "High"), False),
        ("Sub-task", ask("type", "Task"), False),
        ("It is a Sub-task.", ask("type", "Sub-task"), True),
        ("Dana Reyes", ask("assignee", "Dana Reyes"), True),
        ("Dana", ask("assignee", "Dana Reyes"), False),
        ("Dana Reyes or Ivan Reyes", ask("reporter", "Dana Reyes"), False),
        ("none", NOBODY, True),
        ("Nobody works on it.", NOBODY, True),
        ("none; Dana Holm", NOBODY, False),
        ("Done.", NOBODY, False),
        ("quick-win, data", ask("labels", "data", "quick-win"), True),
        ("quick-win", ask("labels", "data", "quick-win"), False),
        ("quick-win, data, quick-win-2", ask("labels", "data", "quick-win"), False),
        ("The team is In Review", ask("description", "The team is In Review"), True),
        ("The  team is\nIn Review", ask("description", "The team is In Review"), True),
        ("The team is In Review. Something else", ask("description", "The team is In Review"), False),
        ("One thing; Another thing", ask("comments", "One thing", "Another thing"), True),
        ("One thing", ask("comments", "One thing", "Another thing"), False),
        ("3", ask("count", "3"), True),
        ("There are 3 of them.", ask("count", "3"), True),
        ("3 or 4", ask("count", "3"), False),
        ("13", ask("count", "3"), False),
        ("FOX-1 and FOX-2", ask("keys", "FOX-1", "FOX-2"), True),
        ("FOX-1, FOX-2 and FOX-3", ask("keys", "FOX-1", "FOX-2"), False),
        ("FOX-11", ask("keys", "FOX-1"), False),
    ],
)
def test_an_answer_is_right_if_the_value_stands_there_and_no_other(answer: str, question: Any, right: bool) -> None:
    assert judge(answer, question) == [right]


def test_what_the_request_names_may_be_repeated() -> None:
    request = "Is FOX-1 Done? If it is not, where is it?"
    assert judge("It is not Done but In Review.", STATUS, request=request) == [True]
    assert judge("It is not Done but To Do.", ask("status", "To Do"), request="Where is it?") == [False]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("In Review; To Do", [True, True]),
        ("To Do; In Review", [False, False]),
        ("FOX-2 is To Do, FOX-1 is In Review.", [True, True]),
        ("FOX-2 is In Review, FOX-1 is To Do.", [False, False]),
        ("In Review", [True, False]),
    ],
)
def test_two_answers_of_one_kind_are_told_apart(answer: str, right: list[bool]) -> None:
    assert judge(answer, STATUS, ask("status", "To Do", issue=B)) == right


def test_answers_of_several_kinds() -> None:
    questions = (STATUS, NOBODY, ask("priority", "High"))
    assert judge("In Review; none; High", *questions) == [True, True, True]
    assert judge("In Review; none; Medium", *questions) == [True, True, False]
    assert judge("In Review; High", *questions) == [True, False, True]


@pytest.mark.parametrize("answer", ["Cannot: no such issue", "I can't do this.", "It does not exist."])
def test_an_answer_denies(answer: str) -> None:
    assert denies(answer)


@pytest.mark.parametrize("answer", ["Done.", "", "I found it.", "scannot"])
def test_an_answer_does_not_deny(answer: str) -> None:
    assert not denies(answer)
