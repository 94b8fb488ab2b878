"""`shortcut`: a scripted control that reads requests with regular expressions and does not understand them.

It knows the shapes of names, the fixed names of statuses, resolutions, priorities and types, and takes the first result
of a search, the first offered way to a status and the first of two alternatives. It sees only the messages. A scenario
that it solves asks for too little.
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
RESOLUTION, TYPE = r"Fixed|Duplicate|Declined|Obsolete", r"Epic|Story|Task|Bug|Sub-task"
PRIORITY = r"Highest|High|Medium|Lowest|Low"
FIELDS = r"status|priority|type|assignee|reporter|labels?|description|resolution|comments?"
VERBS = r"Fix|Update|Remove|Improve|Review|Test|Document|Migrate|Replace|Simplify|Verify|Rename"
PAIR = r"(?!Good |Look |Please |Hello |To Do|In |On |Code |Design )[A-Z][a-z]+ [A-Z][a-z]+"


class Shortcut:
    """Follows the rules of the scenario's name in a request of any wording."""

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
            return Turn(end.value)
        except (LookupError, TypeError):
            return Turn("Cannot: something is missing")


class Request:
    """What regular expressions find in a request."""

    def __init__(self, text: str) -> None:
        self.text = text
        texts = re.findall(r'"([A-Z][a-z]+(?: [a-z]+){4,})"', text) + re.findall(
            r": ?\n?([A-Z]\w+(?: \w+){5,})$", text, re.M
        )
        texts += re.findall(r"\n([A-Z][a-z]+ [a-z]+ (?:[a-z]+ ){3,}[a-z]+)(?:\n|$)", text)
        self.sentence = next(iter(texts), None)
        self.rest = text.replace(self.sentence, "") if self.sentence else text
        self.keys = list(dict.fromkeys(re.findall(r"\b[A-Z]{3}-\d+\b", self.rest)))
        self.summaries = re.findall(rf"\b(?:{VERBS})(?: [a-z]+){{3}}\b", self.rest)
        self.labels = re.findall(r"\b[a-z]+-[a-z]+\b", self.rest)
        self.statuses = re.findall(rf"\b(?:{STATUS})\b", self.rest)
        named = re.findall(rf'(?:project|in|of|for|the|In|On|Of|Project:|Space:) "?({PAIR})\b', self.rest)
        keyed = re.findall(r"\b([A-Z]{3})\b(?!-)", self.rest)
        self.project = keyed[0] if keyed else named[0] if named else ""
        self.people = [name for name in re.findall(PAIR, self.rest) if name != self.project]
        self.titles = re.findall(r"\b[A-Z][a-z]+ [A-Z][a-z]+ [A-Z][a-z]+\b", self.rest)
        self.fields = [
            re.sub("s$", "", word) if word[0] == "c" else word for word in re.findall(rf"\b({FIELDS})\b", self.rest)
        ]

    def one(self, pattern: str) -> str | None:
        found = re.search(rf"\b(?:{pattern})\b", self.rest)
        return found and found[0]

    def jql(self, *terms: str) -> str:
        """The project, the summary or else the properties that are named, and `terms`."""
        found = [f'project = "{self.project}"', *terms]
        found += [f'summary ~ "{self.summaries[0]}"'] if self.summaries else []
        if not self.summaries or self.one("two|one that"):
            found += [f"labels = {self.labels[0]}"] if self.labels else []
            found += [f"priority = {name}" for name in [self.one(PRIORITY)] if name]
            found += [f"type = {name}" for name in [self.one(TYPE)] if name]
            role = "reporter" if self.one("report(?:ed|er)") else "assignee"
            found += [f'{role} = "{name}"' for name in self.people[:1]]
            found += ["assignee IS EMPTY"] if self.one("no assignee|nobody|not assigned|unassigned") else []
            found += [f"parent = {self.keys[0]}"] if self.keys and self.one("parent|below|under") else []
        return " AND ".join(found)


def find(request: Request, fields: list[str], *terms: str) -> Generator[Turn, list[Any], list[Any]]:
    """The issues by their keys, or by a search."""
    if request.keys and not (request.project and self_set(request)):
        issues = []
        for key in request.keys:
            (issue,) = yield act("getIssue", {"issueIdOrKey": key, "fields": fields})
            issues.append(issue)
        return issues
    (response,) = yield act(SEARCH, {"jql": request.jql(*terms), "fields": fields})
    return list(response["issues"])


def self_set(request: Request) -> bool:
    return bool(request.one("issues|tickets|what is in"))


def move(request: Request) -> Steps:
    names, many = request.statuses, self_set(request) and not request.one("two (?:issues|tickets)")
    if not names:
        yield act("getStatuses", {})
        return "Cannot: no such status"
    source = re.search(rf'\b(?:in|in the status) "?({STATUS})\b', request.rest)
    target = next((name for name in names if source is None or name != source[1]), names[0]) if many else names[0]
    keys = request.keys[:1]
    if many or not keys:
        terms = [f'status = "{source[1]}"'] if many and source else []
        (response,) = yield act(SEARCH, {"jql": request.jql(*terms), "fields": ["status"]})
        keys = [issue["key"] for issue in response["issues"]][: 5 if many else 1]
    if not keys:
        return "Cannot: no such ticket"
    for key in keys:
        visited: set[str] = set()
        while target not in visited and len(visited) < 4:
            (response,) = yield act("getTransitions", {"issueIdOrKey": key})
            offered = {item["to"]["name"]: item["id"] for item in reversed(response["transitions"])}
            if target not in offered and request.one("one move"):
                return "Cannot: no such move"
            name = target if target in offered else next(name for name in reversed(offered) if name not in visited)
            visited.add(name)
            arguments: dict[str, Any] = {"issueIdOrKey": key, "transition": {"id": offered[name]}}
            resolution = request.one(RESOLUTION)
            if name == target and resolution:
                arguments["fields"] = {"resolution": {"name": resolution}}
            if name == target and request.sentence:
                arguments["update"] = {"comment": [{"add": {"body": document(request.sentence)}}]}
            yield act("doTransition", arguments)
    return "Done."


def values(issue: Any, field: str) -> str:
    """What a response shows of a field, in words."""
    name = {"type": "issuetype", "label": "labels"}.get(field, field)
    value = issue["fields"].get(name)
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, dict) and "comments" in value:
        return "; ".join(words(comment["body"]) for comment in value["comments"]) or "none"
    if isinstance(value, dict):
        return str(value.get("displayName") or value.get("name") or words(value))
    return value or "none"


def words(body: Any) -> str:
    return "\n".join(re.findall(r'"text": "(.*?)"[,}]', json.dumps(body)))


def read(request: Request) -> Steps:
    fields = ["issuetype" if name == "type" else "labels" if name == "label" else name for name in request.fields]
    status = [f'status = "{name}"' for name in request.statuses[:1]]
    if request.one("how many|number|count|How many") or request.one("keys|which issues|Which issues"):
        (response,) = yield act(SEARCH, {"jql": request.jql(*status), "fields": ["status"]})
        keys = [issue["key"] for issue in response["issues"]]
        return str(len(keys)) if request.one("how many|number|count|How many") else ", ".join(keys)
    relation = (
        request.one("parent")
        or request.one("block|duplicate|relate")
        or (request.one("blocks|blocked|duplicat") and "link")
    )
    issues = yield from find(request, ["parent", "issuelinks"] if relation else fields, *status)
    if not issues:
        return "Cannot: no such issue"
    if relation:
        links = json.dumps(issues[0]["fields"])
        (issue,) = yield act("getIssue", {"issueIdOrKey": re.findall(r'"key": "(.*?)"', links)[0], "fields": fields})
        issues = [issue]
    share = -(-len(request.fields) // len(issues))
    parts = [request.fields[i * share : (i + 1) * share] or request.fields[-1:] for i in range(len(issues))]
    return "; ".join(values(issue, name) for issue, names in zip(issues, parts, strict=True) for name in names)


def label(request: Request) -> Steps:
    issues = yield from find(request, ["labels"], *[f'status = "{name}"' for name in request.statuses[:1]])
    for issue in issues[:4]:
        operations = []
        for name in dict.fromkeys(request.labels):
            before = request.text[: request.text.index(name)]
            verbs = re.findall(
                r"(?i)add|put|attach|give|need|get|carr|want|with|remove|take|drop|off|no longer|instead of|replace|from",
                before,
            )
            gone = verbs and verbs[-1].lower() in (
                "remove",
                "take",
                "drop",
                "off",
                "no longer",
                "instead of",
                "replace",
                "from",
            )
            operations.append({"remove" if gone else "add": name})
        yield act("editIssue", {"issueIdOrKey": issue["key"], "update": {"labels": operations}})
    return "Done." if issues else "Cannot: no such issue"


def create_issue(request: Request) -> Steps:
    key = request.project
    if not re.fullmatch("[A-Z]{3}", key):
        (response,) = yield act("searchProjects", {"query": key})
        key = response["values"][0]["key"]
    (response,) = yield act("getCreateIssueMetaIssueTypes", {"projectIdOrKey": key})
    kind = (request.one(rf"(?i:{TYPE})") or "Task").lower()
    types = {item["name"].lower(): item["id"] for item in response["issueTypes"]}
    fields: dict[str, Any] = {
        "project": {"key": key},
        "issuetype": {"id": types[kind]},
        "summary": request.summaries[0],
    }
    if request.people and request.people[-1] != request.project:
        (users,) = yield act("findUsers", {"query": request.people[-1]})
        fields["assignee"] = {"accountId": users[0]["accountId"]}
    name = request.one(PRIORITY)
    fields |= {"priority": {"name": name}} if name else {}
    fields |= {"labels": request.labels} if request.labels else {}
    fields |= {"description": document(request.sentence)} if request.sentence else {}
    fields |= {"parent": {"key": request.keys[0]}} if request.keys else {}
    yield act("createIssue", {"fields": fields})
    return "Done."


def create_page(request: Request) -> Steps:
    key = re.fullmatch("[A-Z]{3}", request.project)
    (response,) = yield act("getSpaces", {"keys": [request.project]} if key else {"limit": 50})
    space = next(item["id"] for item in response["results"] if request.project in (item["key"], item["name"]))
    page: dict[str, Any] = {"spaceId": space, "title": request.titles[0]}
    if request.titles[1:]:
        (response,) = yield act("getPages", {"title": request.titles[1], "space-id": [space]})
        page["parentId"] = response["results"][0]["id"]
    body = {"representation": "storage", "value": f"<p>{request.sentence}</p>"}
    yield act("createPage", page | ({"body": body} if request.sentence else {}))
    return "Done."


RULES = {
    "issue-read": read,
    "issue-create": create_issue,
    "page-create": create_page,
    "ticket-transition": move,
    "ticket-transition-saturated": move,
    "issue-labels": label,
}
