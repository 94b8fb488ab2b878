"""JQL: the queries that it accepts with their results, and the ones that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envs.site.adf import document
from envs.site.jql.evaluate import search
from envs.site.jql.parser import MAX_DEPTH, parse
from envs.site.jql.syntax import And, Clause, JqlError, Node, Not, Operand, Or, Query
from envs.site.records import Issue, State
from tests.support.site import DAY, EMMA, MIA, START, call, search_keys, small_state
from tests.support.tiers import examples

ALL = ["APB-1", "APB-2", "APB-3", "APB-4", "APB-10", "ORC-1", "ORC-2", "ORC-3"]


def errors(state: State, query: str) -> list[str]:
    response = call(state, "searchAndReconsileIssuesUsingJql", {"jql": query})
    assert response.status == 400, response.body
    assert response.body["errors"] == {}
    messages: list[str] = response.body["errorMessages"]
    return messages


RESULTS = {
    "project = APB": ALL[:5],
    "project = apb": ALL[:5],
    'project = "Apollo billing"': ALL[:5],
    "project = 10002": ALL[5:],
    'project = "10002"': ALL[5:],
    "PROJECT IN (APB, orc)": ALL,
    "project not in (APB)": ALL[5:],
    'status = "In Progress"': ["APB-4"],
    "status = 'in progress'": ["APB-4"],
    r"status = In\ Progress": ["APB-4"],
    "status = 10202": ["APB-4"],
    "status != 'To Do'": ["APB-4", "ORC-3"],
    "statusCategory = Done": ["ORC-3"],
    "statusCategory != 'To Do'": ["APB-4", "ORC-3"],
    "issuetype = Epic": ["APB-1", "ORC-1"],
    "type in (Bug, Sub-task)": ["APB-4", "APB-10", "ORC-3"],
    "priority = High": ["APB-2"],
    "priority > Medium": ["APB-2", "APB-10"],
    "priority <= low": ["ORC-3"],
    "priority >= High and priority < Highest": ["APB-2"],
    'assignee = "Emma Richards"': ["APB-3", "ORC-2"],
    f"assignee = {EMMA}": ["APB-3", "ORC-2"],
    "assignee = currentUser()": ["APB-2"],
    "assignee in (currentUser(), 'mia santos')": ["APB-2", "APB-4"],
    "assignee is EMPTY": ["APB-1", "APB-10", "ORC-1", "ORC-3"],
    "assignee = null": ["APB-1", "APB-10", "ORC-1", "ORC-3"],
    "assignee is not empty": ["APB-2", "APB-3", "APB-4", "ORC-2"],
    "assignee in (EMPTY, currentUser())": ["APB-1", "APB-2", "APB-10", "ORC-1", "ORC-3"],
    # These leave out unassigned issues.
    f"assignee != {EMMA}": ["APB-2", "APB-4"],
    f"assignee NOT IN ({EMMA}, {MIA})": ["APB-4"],
    f"NOT assignee = {EMMA}": ["APB-2", "APB-4"],
    "not not assignee = currentUser()": ["APB-2"],
    "! assignee is empty": ["APB-2", "APB-3", "APB-4", "ORC-2"],
    "reporter = currentUser()": ["ORC-1"],
    "labels = web": ["APB-3", "ORC-2"],
    "labels = Web": [],
    "labels in (urgent, billing)": ["APB-1", "APB-3"],
    "labels != web": ["APB-1"],
    "labels = nowhere": [],
    "labels is empty": ["APB-2", "APB-4", "APB-10", "ORC-1", "ORC-3"],
    "parent = APB-1": ["APB-2"],
    "parent = 20002": ["APB-4"],
    "parent != APB-1": ["APB-4", "ORC-2"],
    "parent is empty and project = ORC": ["ORC-1", "ORC-3"],
    "key = apb-3": ["APB-3"],
    "key in (ORC-2, APB-3)": ["APB-3", "ORC-2"],
    "issuekey > APB-3": ["APB-4", "APB-10"],
    "id = 20003": ["APB-3"],
    "resolution = Fixed": ["ORC-3"],
    "resolution = Unresolved and project = ORC": ["ORC-1", "ORC-2"],
    "resolution is empty": ALL[:7],
    "summary ~ login": ["APB-3", "ORC-2"],
    'summary ~ "page LOGIN"': ["APB-3", "ORC-2"],
    "summary ~ invoice": ["APB-1", "APB-10"],
    "summary ~ 'invoice*'": ["APB-1", "APB-2", "APB-10"],
    "summary ~ 'invoic?'": ["APB-1", "APB-10"],
    r'summary ~ "\"login page\""': ["APB-3", "ORC-2"],
    r'summary ~ "\"page login\""': [],
    "summary !~ invoice and project = APB": ["APB-2", "APB-3", "APB-4"],
    "text ~ rounding": ["APB-10"],
    "text ~ reproduce": ["APB-10"],
    "text ~ tax": ["APB-4"],
    "description ~ rounding": ["APB-10"],
    "description is not empty": ["APB-10"],
    "comment ~ staging": ["APB-10"],
    "description !~ nothing": ["APB-10"],
    "created >= -88d": ["ORC-2", "ORC-3"],
    "created < '-12w 5d'": ["APB-1", "APB-2", "APB-3", "APB-4", "APB-10"],
    "created > 2025-10-09": ["ORC-2", "ORC-3"],
    "created > '2025/10/09 09:30'": ["ORC-3"],
    "created = '2025-10-09 09:30'": ["ORC-2"],
    "updated <= startOfDay(-95d)": ["APB-1", "APB-2", "APB-3", "APB-4"],
    "created >= startOfDay() or created > now()": [],
    "project = ORC and type = Bug or key = APB-1": ["APB-1", "ORC-3"],
    "project = ORC and (type = Bug or key = APB-1)": ["ORC-3"],
    "key = APB-1 || key = APB-2 && project = ORC": ["APB-1"],
    "NOT (project = APB OR type = Epic)": ["ORC-2", "ORC-3"],
    "NOT (project = ORC AND type = Epic) AND project = ORC": ["ORC-2", "ORC-3"],
    "((((key = APB-1))))": ["APB-1"],
    "project=APB AND\n\tkey=APB-1": ["APB-1"],
    r'"project" = "\u0041PB" and "key" = "APB\u002d1"': ["APB-1"],
    "project = APB order by key desc": ["APB-10", "APB-4", "APB-3", "APB-2", "APB-1"],
    "project = ORC ORDER BY created": ["ORC-1", "ORC-2", "ORC-3"],
    "project = APB ORDER BY priority DESC, created DESC": ["APB-10", "APB-2", "APB-4", "APB-3", "APB-1"],
    "project = APB ORDER BY assignee ASC": ["APB-3", "APB-2", "APB-4", "APB-1", "APB-10"],
    "project = APB ORDER BY assignee DESC, key": ["APB-1", "APB-10", "APB-4", "APB-2", "APB-3"],
    "key in (APB-2, ORC-2, APB-3) ORDER BY parent": ["APB-2", "ORC-2", "APB-3"],
    "key in (APB-2, ORC-2, APB-1) ORDER BY summary, labels": ["APB-1", "APB-2", "ORC-2"],
    "project is not empty": ALL,
}


@pytest.mark.parametrize("query", RESULTS)
def test_finds(state: State, query: str) -> None:
    assert search_keys(state, query) == RESULTS[query]


REFUSALS = {
    "": "Unbounded JQL queries are not allowed here.",
    "  ": "Unbounded JQL queries are not allowed here.",
    "order by created": "Unbounded JQL queries are not allowed here.",
    "summary = login": "The operator '=' is not supported by the 'summary' field.",
    "summary in (login)": "The operator 'in' is not supported by the 'summary' field.",
    "text is empty": "The operator 'is' is not supported by the 'text' field.",
    "project ~ APB": "The operator '~' is not supported by the 'project' field.",
    "status > Done": "The operator '>' is not supported by the 'status' field.",
    "project = NOPE": "The value 'NOPE' does not exist for the field 'project'.",
    "project = 99": "A value with ID '99' does not exist for the field 'project'.",
    "status = Started": "The value 'Started' does not exist for the field 'status'.",
    "issuetype = Chore": "The value 'Chore' does not exist for the field 'issuetype'.",
    "type = Chore": "The value 'Chore' does not exist for the field 'type'.",
    "priority in (High, Urgent)": "The value 'Urgent' does not exist for the field 'priority'.",
    "priority > Urgent": "The value 'Urgent' does not exist for the field 'priority'.",
    "assignee = Mia": "The value 'Mia' does not exist for the field 'assignee'.",
    "key = APB-99": "An issue with key 'APB-99' does not exist for field 'key'.",
    "parent = 99": "An issue with ID '99' does not exist for field 'parent'.",
    "sprint = 1": "Field 'sprint' does not exist or you do not have permission to view it.",
    "created > yesterday": "Date value 'yesterday' for field 'created' is invalid.",
    "created > 2026-13-01": "Date value '2026-13-01' for field 'created' is invalid.",
    "assignee = membersOf(staff)": "Unable to find JQL function 'membersOf(staff)'.",
    "created > currentUser()": "Unable to find JQL function 'currentUser()'.",
    "created > startOfDay(-1, 2)": "Unable to find JQL function 'startOfDay(-1, 2)'.",
    "summary ~ ''": "The field 'summary' does not support searching for an empty string.",
    "summary ~ '***'": "The field 'summary' does not support searching for an empty string.",
    "summary ~ EMPTY": "The field 'summary' does not support searching for an empty string.",
    "created > EMPTY": "The operator '>' does not support EMPTY",
    "assignee is currentUser()": "The operator 'is' only supports EMPTY and NULL.",
    "project = (APB, ORC)": "Operator '=' does not support the list value for field 'project'.",
    "status = In Progress": "Expecting either a value, list or function but got 'In'.",
    "project = APB key = APB-1": "Expecting either 'OR' or 'AND' but got 'key'. (line 1, character 15)",
    "project = APB\nAND status": "Expecting operator but got the end of the query. The valid operators are '=', '!='",
    "project APB": "Expecting operator but got 'APB'.",
    "project not APB": "Expecting 'IN' but got 'APB'.",
    "project in APB": "Expecting '(' but got 'APB'.",
    "project in (APB": "Expecting ')' or ',' but got the end of the query.",
    "project in ()": "Expecting either a value, list or function but got ')'.",
    "(project = APB": "Expecting ')' but got the end of the query.",
    "project = APB)": "Expecting either 'OR' or 'AND' but got ')'.",
    "project = APB AND": "Expecting a field name but got the end of the query.",
    "AND project = APB": "'AND' is a reserved JQL word.",
    "project = APB order created": "Expecting 'BY' but got 'created'.",
    "project = APB order by": "Expecting a field name but got the end of the query.",
    "project = APB order by created up": "Expecting ',' or the end of the query but got 'up'.",
    "project = APB order by text": "Not able to sort using field 'text'.",
    "project = 'APB": "The quoted string 'APB' has not been completed. (line 1, character 11)",
    "project = APB; drop": "The character ';' is a reserved JQL character.",
    "cf = 1": "'cf' is a reserved JQL word.",
    "points[1] = 1": "The character '[' is a reserved JQL character.",
    r"project = 'A\PB'": r"'\P' is an illegal JQL escape sequence.",
    r"project = '\ud800'": r"'\ud800' is an illegal JQL escape sequence.",
    "project = APB\\": "The escape sequence at the end of the query is incomplete.",
    "(" * 1000 + "key = APB-1" + ")" * 1000: "The query is nested too deeply.",
    "not " * 1000 + "key = APB-1": "The query is nested too deeply.",
    "summary ~ '" + "x" * 20_000 + "'": "The JQL query is too long",
}


@pytest.mark.parametrize("query", REFUSALS, ids=lambda query: query[:40])
def test_refuses(state: State, query: str) -> None:
    assert REFUSALS[query] in " | ".join(errors(state, query))


def test_all_mistakes_of_a_query_are_reported_together(state: State) -> None:
    assert len(errors(state, "project = X and (status = Y or summary = z) and not priority = X order by text")) == 5


def test_deep_but_allowed_queries_are_answered(state: State) -> None:
    depth = MAX_DEPTH - 1
    assert search_keys(state, "(" * depth + "key = APB-1" + ")" * depth) == ["APB-1"]
    long_query = " or ".join(["key = APB-1"] * 600)
    assert search_keys(state, long_query) == ["APB-1"]


def test_two_users_of_one_name_both_match(state: State) -> None:
    state.users[MIA] = replace(state.users[MIA], display_name="Emma Richards")
    assert search_keys(state, "assignee = 'Emma Richards'") == ["APB-2", "APB-3", "ORC-2"]


def test_relative_dates_follow_the_site_clock(state: State) -> None:
    assert search_keys(state, "created > -90d") == ["ORC-1", "ORC-2", "ORC-3"]
    state.clock = START + 2 * DAY
    assert search_keys(state, "created > -90d") == ["ORC-3"]


def test_text_must_match_within_one_text(state: State) -> None:
    issue = state.issues["20001"]
    state.issues[issue.id] = replace(issue, summary="alpha", description=document("beta"))
    assert search_keys(state, "text ~ alpha") == ["APB-1"]
    assert search_keys(state, "text ~ 'alpha beta'") == []


# Properties, checked against a reference that reads the records' attributes and shares no code with the compiler.

REFERENCE = {
    "project": (lambda issue: {issue.project_id}, ["10001", "10002"]),
    "status": (lambda issue: {issue.status_id}, ["10201", "10202", "10204"]),
    "assignee": (lambda issue: {issue.assignee} - {None}, [MIA, EMMA]),
    "labels": (lambda issue: set(issue.labels), ["web", "urgent", "billing", "none of them"]),
    "parent": (lambda issue: {issue.parent_id} - {None}, ["20001", "20002", "20011"]),
}
OPERATORS = ("=", "!=", "IN", "NOT IN", "IS", "IS NOT")


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    field = draw(st.sampled_from(sorted(REFERENCE)))
    operator = draw(st.sampled_from(OPERATORS))
    values = st.sampled_from(REFERENCE[field][1]).map(lambda value: Operand("value", value))
    if operator.startswith("IS"):
        return Clause(field, operator, (Operand("empty", "EMPTY"),))
    if operator.endswith("IN"):
        return Clause(field, operator, tuple(draw(st.lists(values, min_size=1, max_size=3))), is_list=True)
    return Clause(field, operator, (draw(values),))


nodes: st.SearchStrategy[Node] = st.recursive(
    clauses(),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: And(tuple(items))),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: Or(tuple(items))),
    ),
    max_leaves=6,
)


def matches(node: Node, issue: Issue, negated: bool = False) -> bool:
    """Three-valued logic: a clause about an empty field is false, and so is its negation."""
    if isinstance(node, Not):
        return matches(node.item, issue, not negated)
    if isinstance(node, And | Or):
        every = isinstance(node, And) != negated
        return (all if every else any)(matches(item, issue, negated) for item in node.items)
    values = REFERENCE[node.field][0](issue)
    if node.operator in ("IS", "IS NOT"):
        return (not values) == ((node.operator == "IS") != negated)
    hit = bool(values & {operand.text for operand in node.operands})
    positive = (node.operator in ("=", "IN")) != negated
    return bool(values) and hit == positive


def check_search(node: Node) -> None:
    state = small_state()
    results = {issue.id for issue in search(state, Query(node))}
    assert results == {issue.id for issue in state.issues.values() if matches(node, issue)}


@settings(max_examples=examples(100), deadline=None)
@given(nodes)
def test_search_agrees_with_the_reference(node: Node) -> None:
    check_search(node)


def test_a_wrong_negation_is_noticed(inject: Callable[[str], None]) -> None:
    node = Not(Clause("assignee", "=", (Operand("value", EMMA),)))
    check_search(node)
    inject("jql: the negation of = is =")
    with pytest.raises(AssertionError):
        check_search(node)


def write(node: Node) -> str:
    """The query text of a tree, with every value in quotes and every group in parentheses."""
    if isinstance(node, Not):
        return f"NOT ({write(node.item)})"
    if isinstance(node, And | Or):
        word = " AND " if isinstance(node, And) else " or "
        return word.join(f"({write(item)})" for item in node.items)
    values = ", ".join("EMPTY" if o.kind == "empty" else quote(o.text) for o in node.operands)
    return f"{node.field} {node.operator.lower()} {f'({values})' if node.is_list else values}"


def quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@settings(max_examples=examples(100), deadline=None)
@given(nodes)
def test_parse_undoes_write(node: Node) -> None:
    assert parse(write(node)) == Query(node)


@settings(max_examples=examples(100))
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_quoted_values_are_parsed_unchanged(text: str) -> None:
    assert parse(f"labels = {quote(text)}").where == Clause("labels", "=", (Operand("value", text),))


def test_unquoted_text_is_not_taken_as_quoted() -> None:
    with pytest.raises(JqlError):
        parse("labels = two words")


WORDS = [
    *("project", "status", "assignee", "text", "created", "labels", "=", "!=", "~", "in", "not", "is", "empty", "and"),
    *("or", "(", ")", ",", "order", "by", "desc", "'", '"', "\\", "APB", "-7d", "currentUser", "now", "()", "!", "\n"),
]


@settings(max_examples=examples(100), deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)))
def test_any_text_is_answered_or_refused(text: str) -> None:
    response = call(small_state(), "searchAndReconsileIssuesUsingJql", {"jql": text})
    assert response.status in (200, 400)
    assert response.status == 200 or response.body["errorMessages"]


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.sampled_from(["key", "created", "priority", "assignee", "summary", "status"]), min_size=1, max_size=2)
)
def test_descending_order_reverses_distinct_values(fields: list[str]) -> None:
    state = small_state()
    assume("key" in fields)
    upward = search_keys(state, "project is not empty ORDER BY " + ", ".join(fields))
    downward = search_keys(state, "project is not empty ORDER BY " + ", ".join(f"{field} DESC" for field in fields))
    assert downward == upward[::-1]
    assert sorted(upward) == sorted(ALL)
