"""`shortcut`: a control that reads requests with regular expressions and makes fixed choices over responses.

It knows the shapes of names, the fixed ones, how sentences say which of two is meant, and what sounds like an aside. It
takes the first result, the first way and the first of two alternatives, and it sees messages only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

from envs.protocol import Observation, Split, Turn
from envs.scenarios.drafting import AtlassianScenario, act
from envs.site.adf import document

Steps = Generator[Turn, list[Any], Any]
STATUS = r"To Do|Backlog|Open|Triage|Selected|Ready|In Design|In Progress|In Review|Code Review|Design Review|Testing"
STATUS += r"|QA|Blocked|Waiting|On Hold|Deployed|Done|Closed|Resolved|Verified|Cancelled"
RESOLUTION, PRIORITY = r"Fixed|Duplicate|Declined|Obsolete", r"Highest|High|Medium|Lowest|Low"
TYPE, FIELDS = r"Epic|Story|Task|Bug|Sub-task", r"status|priority|type|assignee|reporter|label|description|resolution"
SUMMARY = r"(?:Fix|Update|Remove|Improve|Review|Test|Document|Migrate|Replace|Simplify|Verify|Rename)(?: [a-z]+){3}\b"
PAIR = rf"(?!(?:{STATUS}|Good|Hello|Please|Could|Can|The)\b)[A-Z][a-z]+ [A-Z][a-z]+\b"
ASIDE = r"told me|said|heard|wrong|early|not now|leave |touch |already|still|stay|Nothing|Somebody|has been|that one"
OFF = r"remove|take|drop|\boff\b|no longer|instead of|replace|from"
NAME = rf'"[^"]+"|\b(?:[A-Z]{{3}}(?:-\d+)?|{STATUS}|{RESOLUTION}|{PRIORITY}|{TYPE}|[a-z]+-[a-z]+)\b|{PAIR}( [A-Z]\w+)?'
BEFORE = r"\b(?:not|never|no|forget|drop|from|than|instead of|without|as good as|take back|nobody needs|was|against"
BEFORE += r"|talk about|told (?:you|me) (?:that [a-z ]+ is|about))(?: take| use| to| even)?"
AFTER = r"(?: as the [a-z ]+)?,? (?:(?:which|but that) was a mis|was my first idea, b|would be the w|will not|is out"
AFTER += r"|it was|is worse|is good|makes no|lost|came close|had to|may (?:look|be))"
WRONG = rf"(?i){BEFORE} @\d+(?:{AFTER})?|@\d+{AFTER}|want @\d+(?=\. I know|, but do not)"
SAID = r"(?:(\w+),?(?: who)? (?:want|say|asked|like)[a-z ]* )?(@\d+)[^@]*?"
END = r"(?:the (?:(first|former)|second|latter|last of)\b|\b(\w+) (?:decide|are right|are not wrong|like)"
END += r"|\b(\w+) (?:have giv|are wrong)|\. (?:Listen to|Do as) \w+ (\w+))"


def meant(text: str) -> str:
    """The text without the names of which it says that they are not meant."""
    names = [name[0] for name in re.finditer(NAME, text)]
    text = re.sub(WRONG, "", re.sub(NAME, lambda name: f"@{names.index(name[0])}", text))
    for two in re.finditer(SAID + SAID + END, text):
        is_first = two[5] or (two[1] or "-") in (two[6], two[8]) or (two[3] or "-") == two[7]
        text = text.replace(two[0], two[2 if is_first else 4])
    return re.sub(r"@(\d+)", lambda place: names[int(place[1])], text)


class Shortcut:
    """Follows the rules of a scenario, whatever the task is."""

    def __init__(self, scenario: AtlassianScenario, seed: int, split: Split) -> None:
        self._rules = RULES[scenario.name]
        self._steps: Steps | None = None

    def turn(self, observation: Observation) -> Turn:
        try:
            if self._steps is None:
                self._steps = self._rules(Request(observation.messages[-1]["content"]))
                return next(self._steps)
            return self._steps.send([json.loads(message["content"]) for message in observation.messages])
        except StopIteration as end:
            return Turn(end.value or "Done.")
        except (LookupError, TypeError):
            return Turn("Cannot: something is missing")


class Request:
    """What regular expressions find in a request."""

    def __init__(self, text: str) -> None:
        whole = meant(text)
        parts = [part for part in re.split(r"(?<=[.?!]) |\n(?=[A-Z][\w -]+: |\")", whole) if not re.search(ASIDE, part)]
        text, long = "\n".join(parts) or whole, r"[A-Z][a-z]+ \w+ \w+ \w+ \w+(?: \w+)+"
        self.sentence = "".join(next(iter(re.findall(rf'"({long})"|(?:: |\n)({long})(?=\n|$)', text)), ""))
        self.rest = text.replace(self.sentence, "") if self.sentence else text
        self.summaries = re.findall(SUMMARY, text) or re.findall(SUMMARY, whole)
        keys = re.findall(r"\b[A-Z]{3}-\d+\b", text if self.summaries or re.search(r"[A-Z]{3}-\d", text) else whole)
        self.keys, self.labels = list(dict.fromkeys(keys)), re.findall(r"\b[a-z]+-[a-z]+\b", self.rest)
        names = re.findall(rf'(?:in|of|for|ct|the|In|Of):? "?({PAIR})', whole) or re.findall(PAIR, whole)
        self.project = "".join((re.findall(r"\b[A-Z]{3}\b(?!-)", whole) or names)[:1])
        self.people = [name for name in re.findall(PAIR, self.rest) if name != self.project]
        self.titles = re.findall(r"\b[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+\b", self.rest)
        self.many = bool(self.one("issues|tickets|what is in")) and not self.one("two (?:issues|tickets)")

    def one(self, pattern: str) -> str:
        return "".join(re.findall(rf"\b(?:{pattern})\b", self.rest)[:1])

    def find(self, fields: list[str]) -> Generator[Turn, list[Any], list[Any]]:
        """The issue by its key, or the results of a search for all that is named."""
        if self.keys and not self.many:
            return (yield act("getIssue", {"issueIdOrKey": self.keys[0], "fields": fields}))
        terms = [f'project = "{self.project}"'] + [f'summary ~ "{name}"' for name in self.summaries[:1]]
        if self.many or self.one("two|one that"):
            role = "reporter" if self.one("report(?:ed|er)") else "assignee"
            named = {"labels": self.labels, "parent": self.keys, role: self.people, "priority": [self.one(PRIORITY)]}
            named |= {"type": [self.one(TYPE)], "status": re.findall(rf'\bin "?({STATUS})', self.rest)}
            terms += [f'{name} = "{values[0]}"' for name, values in named.items() if values and values[0]]
            terms += ["assignee IS EMPTY"] if self.one("no assignee|nobody|not assigned") else []
        (response,) = yield act("searchAndReconsileIssuesUsingJql", {"jql": " AND ".join(terms), "fields": fields})
        return list(response["issues"])


def move(request: Request) -> Steps:
    cued = re.findall(rf'(?:\bto|into|tatus|To|\bin|be): ?"?({STATUS})\b|(?:\bto|into) "?({STATUS})\b', request.rest)
    target = ("".join(cued[0]) if cued else "") or request.one(STATUS)
    if not target:
        yield act("getStatuses", {})
        return "Cannot: there is no such status"
    known = [{"key": key} for key in request.keys[:1] if not request.many]
    found = known or (yield from request.find(["status"]))[: 5 if request.many else 1]
    extras: dict[str, Any] = {"fields": {"resolution": {"name": request.one(RESOLUTION)}}}
    extras = extras if request.one(RESOLUTION) else {}
    extras |= {"update": {"comment": [{"add": {"body": document(request.sentence)}}]}} if request.sentence else {}
    for issue in found:
        seen: set[str] = set()
        while target not in seen and len(seen) < 3:
            (response,) = yield act("getTransitions", {"issueIdOrKey": issue["key"]})
            offered = {item["to"]["name"]: item["id"] for item in response["transitions"]}
            if target not in offered and request.one("one move"):
                return "Cannot: there is no such move"
            name = target if target in offered else next((name for name in offered if name not in seen), target)
            seen.add(name)
            call: dict[str, Any] = {"issueIdOrKey": issue["key"], "transition": {"id": offered[name]}}
            yield act("doTransition", call | (extras if name == target else {}))
    return "" if found else "Cannot: there is no such ticket"


def read(request: Request) -> Steps:
    fields = re.findall(FIELDS, request.rest)
    names = [{"type": "issuetype", "label": "labels"}.get(field, field) for field in fields] or ["comment"]
    related = request.one("parent|block.*|relates")
    issues = yield from request.find([*names, "parent", "issuelinks"] if related else names)
    if request.one("[Hh]ow many|number|count|keys"):
        return str(len(issues)) if not request.one("keys") else ", ".join(issue["key"] for issue in issues)
    other = re.search(r'"(?:parent|\w+wardIssue)": .*?"key": "(.*?)"', json.dumps(issues[0]))
    if other and related:
        issues = yield act("getIssue", {"issueIdOrKey": other[1], "fields": names})
    values = [json.dumps(issues[0]["fields"][name]) for name in names]
    shown = [re.findall(r'(?:displayName|name|text)": "(.*?)"|^\[?"(.*)"\]?$', value) for value in values]
    return "; ".join("".join(found[0]).replace('"', "") if found else "none" for found in shown)


def label(request: Request) -> Steps:
    for issue in (yield from request.find(["labels"]))[:4]:
        cue = rf"(?i)\b(?:add|put|attach|give|needs?|gets?|want|with)\b|{OFF}"
        verbs = {name: re.findall(cue, request.rest.split(name)[0]) for name in request.labels}
        changes = [{"remove" if v and re.search(OFF, v[-1].lower()) else "add": name} for name, v in verbs.items()]
        yield act("editIssue", {"issueIdOrKey": issue["key"], "update": {"labels": changes}})


def create(request: Request) -> Steps:
    (response,) = yield act("searchProjects", {"query": request.project})
    key = response["values"][0]["key"]
    (types,) = yield act("getCreateIssueMetaIssueTypes", {"projectIdOrKey": key})
    kind = (request.one(f"(?i:{TYPE})") or "task").lower()
    id = {item["name"].lower(): item["id"] for item in types["issueTypes"]}[kind]
    fields: dict[str, Any] = {"project": {"key": key}, "issuetype": {"id": id}, "summary": request.summaries[0]}
    if request.people:
        (users,) = yield act("findUsers", {"query": request.people[0]})
        fields["assignee"] = {"accountId": users[0]["accountId"]}
    fields |= {"description": document(request.sentence)} if request.sentence else {}
    more = {"priority": request.one(PRIORITY), "parent": "".join(request.keys[:1])}
    fields |= {name: {"key" if name == "parent" else "name": value} for name, value in more.items() if value}
    yield act("createIssue", {"fields": fields | ({"labels": request.labels} if request.labels else {})})


def create_page(request: Request) -> Steps:
    (response,) = yield act("getSpaces", {"keys": [request.project]} if len(request.project) == 3 else {"limit": 50})
    space = {item[name]: item["id"] for item in response["results"] for name in ("key", "name")}[request.project]
    page: dict[str, Any] = {"spaceId": space, "title": request.titles[0]}
    if request.titles[1:]:
        (response,) = yield act("getPages", {"title": request.titles[1], "space-id": [space]})
        page["parentId"] = response["results"][0]["id"]
    yield act("createPage", page | {"body": {"representation": "storage", "value": f"<p>{request.sentence}</p>"}})


RULES = {"issue-read": read, "issue-create": create, "page-create": create_page, "issue-labels": label}
RULES |= {"ticket-transition": move, "ticket-transition-saturated": move}
