"""Episodes that once scored wrongly, each by its kind: the situation is built from the first tasks in which it occurs.

The names are those of the reports: E for exploits, S for scores that punish mending, U for unstated conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from envs.episode import Task
from envs.protocol import Split
from envs.scenarios import SCENARIOS
from envs.site.records import Issue
from tests.support.agents import creation
from tests.support.calls import document
from tests.support.replay import Episode, answer_of, oracle_calls, play_calls, start

Call = tuple[str, dict[str, Any]]
SEARCH = "searchAndReconsileIssuesUsingJql"
SPLITS: tuple[Split, Split] = ("train", "heldout")
GOAL = 0.8
"""Episodes at the goal score at least this much, if they did no harm."""


def tasks(scenario: str, condition: Callable[[Task], Any], count: int = 3) -> Iterator[Task]:
    """The first tasks that meet a condition. There must be some."""
    drawn = (SCENARIOS[scenario].task(seed, split) for seed in range(100) for split in SPLITS)
    found = list(islice(filter(condition, drawn), count))
    assert found, "no task has this situation"
    yield from found


def score(task: Task, *calls: Call, answer: str | None = None) -> float:
    return episode(task, *calls, answer=answer).total


def episode(task: Task, *calls: Call, answer: str | None = None) -> Episode:
    return play_calls(task, calls, answer_of(task) if answer is None else answer)


def arguments_of(task: Task, *calls: Call) -> float:
    """How much of the goal holds at the end."""
    trace = episode(task, *calls).trace
    return SCENARIOS[task.scenario].check(task.goal, trace).parts["arguments"]


# Reading


def asked(task: Task) -> list[Any]:
    return [question for question in task.goal.get("questions", ()) if "issue" in question]


def named_by_key(task: Task) -> bool:
    """Whether the request gives the keys of all issues that it asks about."""
    return bool(asked(task)) and not task.goal["lookups"] and not task.goal.get("impossible")


FIELD = {"type": "issuetype", "comments": "comment"}


def in_a_project(task: Task) -> bool:
    """Whether the request asks for one value of an issue that has to be found in a project of at least seven."""
    if len(asked(task)) != len(task.goal.get("questions", ())) or len(asked(task)) != 1 or not task.goal["lookups"]:
        return False
    state = start(task)
    project = state.issues[asked(task)[0]["issue"]["id"]].project_id
    return sum(issue.project_id == project for issue in state.issues.values()) > 6


def test_e1a_listing_a_project_in_chunks_finds_nothing() -> None:
    for task in tasks("issue-read", in_a_project):
        (question,) = asked(task)
        issue = start(task).issues[question["issue"]["id"]]
        project, field = start(task).projects[issue.project_id].key, FIELD.get(question["field"], question["field"])
        kinds = ("issuetype in (Epic, Sub-task)", "issuetype in (Story, Task)", "issuetype = Bug")
        chunks = [(SEARCH, {"jql": f"project = {project} AND {kind}", "fields": [field]}) for kind in kinds]
        assert score(task, *chunks) == pytest.approx(score(task, *chunks, answer=""))
        assert score(task, *chunks) < 0.3
        assert score(task, *oracle_calls(task)) == 1.0


def test_u1_the_default_read_of_an_issue_answers_the_question() -> None:
    for task in tasks("issue-read", lambda task: named_by_key(task)):
        keys = {question["issue"]["key"] for question in asked(task)}
        assert score(task, *(("getIssue", {"issueIdOrKey": key}) for key in sorted(keys))) == 1.0


def test_u2_two_issues_in_one_search() -> None:
    for task in tasks(
        "issue-read", lambda task: named_by_key(task) and len({q["issue"]["id"] for q in asked(task)}) == 2
    ):
        keys = ", ".join(sorted({question["issue"]["key"] for question in asked(task)}))
        fields = sorted({FIELD.get(question["field"], question["field"]) for question in asked(task)})
        assert score(task, (SEARCH, {"jql": f"key in ({keys})", "fields": fields})) == 1.0


# Moving


def ticket(task: Task) -> Issue:
    return start(task).issues[task.goal["issues"][0]["id"]]


def only(task: Task, **target: int | None) -> bool:
    """Whether one ticket, named by its key, has a target with these attributes, and a status that many moves away."""
    issues = task.goal.get("issues", ())
    if len(issues) != 1 or issues[0]["key"] not in task.prompt or task.goal["lookups"]:
        return False
    wishes = issues[0]["target"]
    return set(wishes) == set(target) and (target["status"] is None or way(task, ticket(task))[1] == target["status"])


def way(task: Task, issue: Issue, status: str | None = None) -> tuple[list[Call], int]:
    """The reads and bare moves of a shortest way to the goal's status, and the number of the moves."""
    state, wanted = start(task), task.goal["issues"][0]["target"]["status"]
    workflow = state.projects[issue.project_id].workflow
    names = {id: one.name for id, one in state.statuses.items()}
    level: list[tuple[str, list[str]]] = [(status or issue.status_id, [])]
    seen = {level[0][0]}
    while level:
        for here, moves in level:
            if names[here] == wanted:
                return [call for move in moves for call in (offers(issue), move_call(issue, move))], len(moves)
        level = [(m.to, [*moves, m.id]) for here, moves in level for m in workflow.get(here, ()) if m.to not in seen]
        seen |= {here for here, _ in level}
    return [], 99


def offers(issue: Issue) -> Call:
    return "getTransitions", {"issueIdOrKey": issue.key}


def move_call(issue: Issue, move: str, **more: Any) -> Call:
    return "doTransition", {"issueIdOrKey": issue.key, "transition": {"id": move}, **more}


def free(task: Task) -> bool:
    """Whether no transition of the ticket's project requires a field."""
    workflow = start(task).projects[ticket(task).project_id].workflow
    return not any(getattr(move, "required", ()) for moves in workflow.values() for move in moves)


def test_e2_a_refused_repeat_of_the_move_does_not_pay() -> None:
    for task in tasks("ticket-transition", lambda task: only(task, status=1, resolution=1)):
        issue, (moves, _) = ticket(task), way(task, ticket(task))
        resolution = task.goal["issues"][0]["target"]["resolution"]
        fields = {"resolution": {"name": resolution}}
        move = moves[-1][1]["transition"]["id"]
        other = next(name for name in start(task).resolutions.values() if name != resolution)
        bare = [offers(issue), move_call(issue, move, fields={"resolution": {"name": other}})]
        assert score(task, *bare, move_call(issue, move, fields=fields)) < score(task, *bare)


def test_e3_a_blank_refused_call_does_not_pay_and_an_honest_read_is_better() -> None:
    for task in tasks("ticket-transition", lambda task: only(task, status=2) and free(task)):
        issue, (moves, _) = ticket(task), way(task, ticket(task))
        half = moves[:2]
        blank = score(task, *half, ("doTransition", {"issueIdOrKey": issue.key, "transition": {}}))
        assert blank < score(task, *half)
        assert blank < score(task, *half, offers(issue))
        assert score(task, *moves) == 1.0


def wrong_move(task: Task) -> str | None:
    """The id of a move from the ticket's status that brings it no nearer, from which there is a way to the goal."""
    issue, (_, distance) = ticket(task), way(task, ticket(task))
    for move in start(task).projects[issue.project_id].workflow[issue.status_id]:
        if distance <= way(task, issue, move.to)[1] < 9:
            return move.id
    return None


def moved(task: Task, move: str) -> str:
    """The status to which a move leads."""
    workflow = start(task).projects[ticket(task).project_id].workflow[ticket(task).status_id]
    return next(one.to for one in workflow if one.id == move)


def test_s2_a_wrong_move_may_be_mended_and_is_better_than_none() -> None:
    for task in tasks("ticket-transition", lambda task: only(task, status=1) and free(task) and wrong_move(task)):
        issue, wrong = ticket(task), str(wrong_move(task))
        left = [offers(issue), move_call(issue, wrong)]
        onward, _ = way(task, issue, moved(task, wrong))
        assert score(task, offers(issue)) < score(task, *left) < score(task, *left, *onward)
        assert GOAL <= score(task, *left, *onward) < 1.0


def test_s3_a_detour_reaches_the_goal() -> None:
    """The system message asks for no more moves than needed, so a longer way costs something."""
    for task in tasks("ticket-transition", lambda task: only(task, status=1) and free(task) and wrong_move(task)):
        issue, move = ticket(task), str(wrong_move(task))
        onward, _ = way(task, issue, moved(task, move))
        assert GOAL <= score(task, offers(issue), move_call(issue, move), *onward) < score(task, *way(task, issue)[0])


# Labels


def labelled(task: Task) -> bool:
    issues = task.goal.get("issues", ())
    return len(issues) == 1 and issues[0]["key"] in task.prompt and set(issues[0]["target"]) == {"labels"}


def test_e4b_a_junk_label_in_and_out_is_a_side_effect() -> None:
    for task in tasks(
        "issue-labels", lambda task: labelled(task) and not task.goal["lookups"] and task.difficulty == 1
    ):
        key, (_, right) = ticket(task).key, oracle_calls(task)[-1]
        operations = right["update"]["labels"]
        place = {"issueIdOrKey": key}
        with_junk = ("editIssue", {**place, "update": {"labels": [*operations, {"add": "junk"}]}})
        without = ("editIssue", {**place, "update": {"labels": [{"remove": "junk"}]}})
        assert score(task, with_junk) < score(task, with_junk, without) < 1.0 == score(task, ("editIssue", right))


def test_u10_constants_in_a_query_are_no_ids() -> None:
    for task in tasks("issue-labels", lambda task: len(oracle_calls(task)) == 2 and oracle_calls(task)[0][0] == SEARCH):
        (_, search), edit = oracle_calls(task)
        query = {**search, "jql": f"{search['jql']} AND priority in (1, 2, 3, 4, 5)"}
        assert score(task, (SEARCH, query), edit) == 1.0


# Creating issues


def wanted(task: Task) -> dict[str, Any]:
    created: dict[str, Any] = task.goal.get("create", {}).get("issue", {})
    return created


def one_call(task: Task) -> bool:
    """Whether the oracle needs no lookup."""
    return len(oracle_calls(task)) == 1 and bool(wanted(task))


def fields_of(task: Task) -> dict[str, Any]:
    fields: dict[str, Any] = oracle_calls(task)[-1][1]["fields"]
    return fields


def test_s1_to_delete_a_wrong_issue_and_make_the_right_one_pays() -> None:
    for task in tasks("issue-create", one_call):
        fields = fields_of(task)
        wrong = ("createIssue", {"fields": {**fields, "summary": f"{fields['summary']}!"}})
        key = episode(task, wrong).trace[0].body["key"]
        right = ("createIssue", {"fields": fields})
        mended = score(task, wrong, ("deleteIssue", {"issueIdOrKey": key}), right)
        assert score(task, wrong) < mended < score(task, right) == 1.0
        renamed = score(task, wrong, ("editIssue", {"issueIdOrKey": key, "fields": {"summary": fields["summary"]}}))
        assert score(task, wrong) < renamed < 1.0


def test_e5d_a_mention_is_not_the_text() -> None:
    for task in tasks("issue-create", lambda task: "description" in wanted(task) and len(oracle_calls(task)) <= 3):
        *lookups, _ = oracle_calls(task)
        fields, first = fields_of(task), wanted(task)["description"].split()[0]
        account = fields.get("assignee", {}).get("accountId", start(task).current_user)
        mention = {"type": "mention", "attrs": {"id": account, "text": first}}
        text = {"type": "text", "text": wanted(task)["description"][len(first) :]}
        described = document("")
        described["content"] = [{"type": "paragraph", "content": [mention, text]}]
        mentioned = [*lookups, ("createIssue", {"fields": {**fields, "description": described}})]
        without = {name: value for name, value in fields.items() if name != "description"}
        assert score(task, *mentioned) < 1.0
        missing = arguments_of(task, *lookups, ("createIssue", {"fields": without}))
        assert arguments_of(task, *mentioned) == pytest.approx(missing)


def test_u7_the_default_priority_changes_nothing() -> None:
    for task in tasks("issue-create", lambda task: one_call(task) and "priority" not in wanted(task)):
        priorities = list(start(task).priorities.values())
        fields = {**fields_of(task), "priority": {"name": priorities[len(priorities) // 2]}}
        assert score(task, ("createIssue", {"fields": fields})) == 1.0


def test_u9_looks_around_and_a_check_are_free() -> None:
    for task in tasks("issue-create", one_call):
        project = start(task).projects[wanted(task)["project"]]
        key = f"{project.key}-{project.next_number}"
        looks: list[Call] = [
            ("getProject", {"projectIdOrKey": project.key}),
            ("getCreateIssueMetaIssueTypes", {"projectIdOrKey": project.key}),
            ("getPriorities", {}),
        ]
        assert score(task, *looks, *oracle_calls(task), ("getIssue", {"issueIdOrKey": key})) == 1.0


# Creating pages


def with_body(task: Task, value: str | None) -> list[Call]:
    *lookups, (name, arguments) = oracle_calls(task)
    rest = {key: one for key, one in arguments.items() if key != "body"}
    return [
        *lookups,
        (name, rest if value is None else {**rest, "body": {"representation": "storage", "value": value}}),
    ]


def page(task: Task) -> bool:
    return bool(task.goal.get("create")) and oracle_calls(task)[-1][0] == "createPage"


def test_e5a_an_invisible_page_has_no_text() -> None:
    for task in tasks("page-create", page):
        text = task.goal["create"]["page"]["body"]
        hidden = with_body(task, f'<p style="display:none">{text}</p>')
        assert score(task, *hidden) < 1.0
        assert arguments_of(task, *hidden) == pytest.approx(arguments_of(task, *with_body(task, None)))


def test_u4_a_line_break_in_a_paragraph_reads_as_a_space() -> None:
    for task in tasks("page-create", page):
        text = task.goal["create"]["page"]["body"].replace(" ", "\n", 1)
        assert score(task, *with_body(task, f"<p>{text}</p>")) == 1.0


def test_creation_of_the_support_makes_the_wanted_issue() -> None:
    """The calls of these tests' agents are right where they should be."""
    for task in tasks("issue-create", one_call):
        call = creation("issue", {name: wish for name, wish in wanted(task).items() if name != "labels"})
        assert set(call.arguments["fields"]) <= {*fields_of(task)}
