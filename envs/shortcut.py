"""`shortcut`: a control that reads requests with regular expressions and makes fixed choices over responses.

It knows the shapes of names, the fixed names of statuses, resolutions, priorities and types, leaves out sentences that
sound like an aside, and takes the first result, the first way and the first of two alternatives. It sees messages only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

from envs.protocol import Observation, Split, Turn
from envs.scenarios.drafting import AtlassianScenario, act
from envs.site.adf import document

Steps = Generator[Turn, list[Any], str]
SEARCH = "searchAndReconsileIssuesUsingJql"
STATUS = (
    r"To Do|Backlog|Open|Triage|Selected|Ready|In Design|In Progress|In Review|Code Review|Design Review|Testing|QA|"
    r"Blocked|Waiting|On Hold|Deployed|Done|Closed|Resolved|Verified|Cancelled"
)
RESOLUTION, PRIORITY = r"Fixed|Duplicate|Declined|Obsolete", r"Highest|High|Medium|Lowest|Low"
TYPE, FIELDS = r"Epic|Story|Task|Bug|Sub-task", r"status|priority|type|assignee|reporter|label|description|resolution"
SUMMARY = r"(?:Fix|Update|Remove|Improve|Review|Test|Document|Migrate|Replace|Simplify|Verify|Rename)(?: [a-z]+){3}\b"
PAIR = rf"(?!(?:{STATUS}|Good|Hello|Please|Could|Can|The)\b)[A-Z][a-z]+ [A-Z][a-z]+\b"
ASIDE = r"told me|said|heard|wrong|too early|not now|leave |touch |already|still|stay|Nothing|Somebody|has been|for that one"
OFF = r"remove|take|drop|\boff\b|no longer|instead of|replace|from"


class Shortcut:
    """Follows the rules of a scenario, whatever the task is."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        self._rules, self._steps = RULES[scenario.name], iter(())

    def turn(self, observation: Observation) -> Turn:
        try:
            if observation.messages[-1]["role"] == "user":
                self._steps: Any = self._rules(Request(observation.messages[-1]["content"]))
                return next(self._steps)  # type: ignore[no-any-return]
            return self._steps.send([json.loads(m["content"]) for m in observation.messages])  # type: ignore[no-any-return]
        except StopIteration as end:
            return Turn(end.value)
        except (LookupError, TypeError):
            return Turn("Cannot: something is missing")


class Request:
    """What regular expressions find in a request."""

    def __init__(self, text: str) -> None:
        parts = [part for part in re.split(r"(?<=[.?!]) |\n(?=[A-Z][\w -]+: |\")", text) if not re.search(ASIDE, part)]
        text = self.text = "\n".join(parts) or text
        long = r"[A-Z][a-z]+ \w+ \w+ \w+ \w+(?: \w+)+"
        texts = re.findall(rf'"({long})"|(?:: |\n)({long})(?=\n|$)', text)
        self.sentence = "".join(texts[0]) if texts else ""
        self.rest = text.replace(self.sentence, "") if self.sentence else text
        self.keys = list(dict.fromkeys(re.findall(r"\b[A-Z]{3}-\d+\b", self.rest)))
        self.summaries, self.labels = re.findall(SUMMARY, self.rest), re.findall(r"\b[a-z]+-[a-z]+\b", self.rest)
        self.project = self.one(r"[A-Z]{3}(?!-)") or next(
            iter(re.findall(rf'(?:in|of|for|ct|the|In|Of):? "?({PAIR})', self.rest)), ""
        )
        self.people = [name for name in re.findall(PAIR, self.rest) if name != self.project]
        self.titles = re.findall(r"\b[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+\b", self.rest)
        self.many = bool(self.one("issues|tickets|what is in")) and not self.one("two (?:issues|tickets)")

    def one(self, pattern: str) -> str:
        found = re.search(rf"\b(?:{pattern})\b", self.rest)
        return found[0] if found else ""

    def find(self, fields: list[str]) -> Generator[Turn, list[Any], list[Any]]:
        """The issue by its key, or the results of a search for all that is named."""
        if self.keys and not self.many:
            return (yield act("getIssue", {"issueIdOrKey": self.keys[0], "fields": fields}))
        terms = [f'project = "{self.project}"'] + [f'summary ~ "{name}"' for name in self.summaries[:1]]
        if self.many or self.one("two|one that"):
            status, nobody = re.search(rf'\bin "?({STATUS})', self.rest), self.one("no assignee|nobody|not assigned")
            named = {"labels": "".join(self.labels[:1]), "priority": self.one(PRIORITY), "type": self.one(TYPE)}
            named["reporter" if self.one("report(?:ed|er)") else "assignee"] = (
                "EMPTY" if nobody else "".join(self.people[:1])
            )
            named |= {"parent": "".join(self.keys[:1]), "status": status[1] if status else ""}
            terms += [f"{k} IS EMPTY" if v == "EMPTY" else f'{k} = "{v}"' for k, v in named.items() if v]
        (response,) = yield act(SEARCH, {"jql": " AND ".join(terms), "fields": fields})
        return list(response["issues"])


def move(request: Request) -> Steps:
    cued = re.findall(rf'(?:\bto|into|tatus|To|\bin|be): ?"?({STATUS})\b|(?:\bto|into) "?({STATUS})\b', request.rest)
    target = ("".join(cued[0]) if cued else "") or request.one(STATUS)
    if not target:
        yield act("getStatuses", {})
        return "Cannot: there is no such status"
    known = [{"key": key} for key in request.keys[:1]] if not request.many else []
    for issue in known or (yield from request.find(["status"]))[: 5 if request.many else 1]:
        seen: set[str] = set()
        while target not in seen and len(seen) < 3:
            (response,) = yield act("getTransitions", {"issueIdOrKey": issue["key"]})
            offered = {item["to"]["name"]: item["id"] for item in response["transitions"]}
            if target not in offered and request.one("one move"):
                return "Cannot: there is no such move"
            name = target if target in offered else [name for name in offered if name not in seen][0]
            seen.add(name)
            call: dict[str, Any] = {"issueIdOrKey": issue["key"], "transition": {"id": offered[name]}}
            if name == target and request.one(RESOLUTION):
                call["fields"] = {"resolution": {"name": request.one(RESOLUTION)}}
            if name == target and request.sentence:
                call["update"] = {"comment": [{"add": {"body": document(request.sentence)}}]}
            yield act("doTransition", call)
    return "Done." if seen else "Cannot: there is no such ticket"


def read(request: Request) -> Steps:
    fields = re.findall(FIELDS, request.rest)
    names = [{"type": "issuetype", "label": "labels"}.get(field, field) for field in fields] or ["comment"]
    issues = yield from request.find(
        [*names, "parent", "issuelinks"] if request.one("parent|block.*|relates") else names
    )
    if request.one("[Hh]ow many|number|count|keys"):
        return str(len(issues)) if not request.one("keys") else ", ".join(issue["key"] for issue in issues)
    other = re.search(r'"(?:parent|\w+wardIssue)": .*?"key": "(.*?)"', json.dumps(issues[0]))
    if other and request.one("parent|block.*|relates"):
        issues = yield act("getIssue", {"issueIdOrKey": other[1], "fields": names})
    values = [json.dumps(issues[0]["fields"][name]) for name in names]
    return "; ".join(
        ", ".join(re.findall(r'(?:displayName|name|text)": "(.*?)"|^\["(.*)"\]$', v)[0]) or "none" for v in values
    )


def label(request: Request) -> Steps:
    for issue in (yield from request.find(["labels"]))[:4]:
        changes = []
        for name in dict.fromkeys(request.labels):
            verbs = re.findall(
                rf"(?i)\b(?:add|put|attach|give|needs?|gets?|want|with)\b|{OFF}", request.text.split(name)[0]
            )
            changes.append({"remove" if verbs and re.search(OFF, verbs[-1].lower()) else "add": name})
        yield act("editIssue", {"issueIdOrKey": issue["key"], "update": {"labels": changes}})
    return "Done."


def create(request: Request) -> Steps:
    (response,) = yield act("searchProjects", {"query": request.project})
    key, types = (
        response["values"][0]["key"],
        (yield act("getCreateIssueMetaIssueTypes", {"projectIdOrKey": request.project}))[0],
    )
    kind = (request.one(f"(?i:{TYPE})") or "task").lower()
    id = next(item["id"] for item in types["issueTypes"] if item["name"].lower() == kind)
    fields: dict[str, Any] = {"project": {"key": key}, "issuetype": {"id": id}, "summary": request.summaries[0]}
    if request.people:
        (users,) = yield act("findUsers", {"query": request.people[0]})
        fields["assignee"] = {"accountId": users[0]["accountId"]}
    fields |= {"priority": {"name": request.one(PRIORITY)}} if request.one(PRIORITY) else {}
    fields |= {"description": document(request.sentence)} if request.sentence else {}
    fields |= {"parent": {"key": request.keys[0]}} if request.keys else {}
    yield act("createIssue", {"fields": fields | ({"labels": request.labels} if request.labels else {})})
    return "Done."


def create_page(request: Request) -> Steps:
    (response,) = yield act("getSpaces", {"keys": [request.project]} if len(request.project) == 3 else {"limit": 50})
    space = next(item["id"] for item in response["results"] if request.project in (item["key"], item["name"]))
    page: dict[str, Any] = {"spaceId": space, "title": request.titles[0]}
    if request.titles[1:]:
        (response,) = yield act("getPages", {"title": request.titles[1], "space-id": [space]})
        page["parentId"] = response["results"][0]["id"]
    yield act("createPage", page | {"body": {"representation": "storage", "value": f"<p>{request.sentence}</p>"}})
    return "Done."


RULES = {"issue-read": read, "issue-create": create, "page-create": create_page, "issue-labels": label}
RULES |= {"ticket-transition": move, "ticket-transition-saturated": move}
