"""Judges an episode by the site itself: which facts of the goal hold, and what else has changed.

A judge compares the site's states before, during and after an episode. A score of 1.0 must imply that it agrees. It is
independent of the checkers: of `rewards` it uses only the trace, and it reads texts with `tests.support.reading`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from envs.site.records import Issue, Page, State
from rewards.trace import Call, Kind
from tests.support.reading import adf_text, storage_text

Goal = Mapping[str, Any]
Name = tuple[str, Any]
"""(id of a thing, or NEW for the one to create; attribute, or (attribute, one of its values))."""
View = dict[Any, Any]
NEW = "new"
SEARCHES = ("searchAndReconsileIssuesUsingJql", "searchAndReconsileIssuesUsingJqlPost")
NOTHING_SAID = re.compile(r"none|nobody|no one|unassigned|unresolved|empty", re.IGNORECASE)
DENIAL = re.compile(r"cannot|can not|can't|could not|couldn't|unable|impossible|exist|no such|not found", re.IGNORECASE)
FREE_READS, READS_FOR_EACH, FREE_ISSUES = 4, 2, 3
FAR = 99


def issue_view(state: State, issue: Issue) -> View:
    """The attributes of an issue that a reader sees, labels and comments one by one."""
    view: View = {
        "project": issue.project_id,
        "type": issue.type_id,
        "summary": issue.summary,
        "status": state.statuses[issue.status_id].name,
        "priority": issue.priority_id,
        "reporter": issue.reporter,
        "assignee": issue.assignee,
        "parent": issue.parent_id,
        "resolution": issue.resolution,
        "description": (adf_text(issue.description) or None) if issue.description else None,
        "worklogs": len(issue.worklogs),
        "links": len(issue.links),
    }
    view |= {("labels", label): 1 for label in issue.labels}
    return view | {("comments", text): n for text, n in Counter(adf_text(c.body) for c in issue.comments).items()}


def page_view(state: State, page: Page) -> View:
    """The attributes of a page that a reader sees."""
    view: View = {"space": page.space_id, "parent": page.parent_id, "title": page.title, "status": page.status}
    view |= {"owner": page.owner, "draft": page.draft is not None, "body": page_text(page)}
    view |= {("labels", name): 1 for _, name in page.labels}
    texts = Counter(c.body for c in state.footer_comments.values() if c.page_id == page.id)
    return view | {("comments", text): count for text, count in texts.items()}


def page_text(page: Page) -> str | None:
    text = storage_text(page.body) if page.representation == "storage" else adf_text(json.loads(page.body))
    return text or None


def value(view: View, attribute: Any) -> Any:
    """An attribute of a view; a label or a comment that is not there counts 0."""
    return view.get(attribute, 0 if isinstance(attribute, tuple) else None)


def line(text: Any) -> Any:
    """A text of the goal with single spaces."""
    return "\n".join(" ".join(part.split()) for part in text.split("\n") if part.strip()) or None if text else None


COUNTERS = {"clock", "next_id"}
"""Members of a snapshot that any write changes."""


def differences(before: Any, after: Any) -> set[str]:
    """The members that differ between two mappings, including those that only one of them has."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


class Judge:
    """Judges the episodes of one task, whose site is in the state `before` at the start."""

    def __init__(self, goal: Goal, before: State) -> None:
        self.goal, self.before = goal, before
        self.wanted: dict[str, View] = {}
        """Id of an existing thing -> the attributes that it must have."""
        for entry in (*goal.get("issues", ()), *goal.get("pages", ())):
            self.wanted[entry["id"]] = self._wishes(entry["id"], entry["target"])
        ((self.kind, created),) = goal["create"].items() if goal.get("create") else (("", {}),)
        self.new: View = self._wishes(NEW, created)

    def _wishes(self, thing: str, target: Mapping[str, Any]) -> View:
        wishes: View = {}
        for name, wish in target.items():
            if name == "labels":
                more, less = (wish.get("add", ()), wish.get("remove", ())) if isinstance(wish, Mapping) else (wish, ())
                wishes |= {(name, label): 1 for label in more} | {(name, label): 0 for label in less}
            elif name == "comments":
                old = self.view(self.before, thing) or {}
                wishes |= {(name, line(text)): value(old, (name, line(text))) + 1 for text in wish}
            else:
                wishes[name] = line(wish) if name in ("description", "body") else wish
        return wishes

    @staticmethod
    def view(state: State, thing: str) -> View | None:
        """The attributes of an issue or a page, None if it is not there."""
        if thing in state.issues:
            return issue_view(state, state.issues[thing])
        page = state.pages.get(thing)
        return None if page is None or page.status == "trashed" else page_view(state, page)

    # The facts that the goal asks for

    def facts(self, state: State) -> dict[Name, float]:
        """How near each fact of the goal is, 0 if it holds: 1, or for a status the number of moves."""
        distances: dict[Name, float] = {}
        for thing, wishes in self.wanted.items():
            view = self.view(state, thing)
            for attribute, wish in wishes.items():
                distances[thing, attribute] = self._distance(thing, view, attribute, wish)
        made = self.made(state)
        view = self.view(state, made) if made else None
        for attribute, wish in self.new.items():
            distances[NEW, attribute] = float(view is None or value(view, attribute) != wish)
        return distances

    def _distance(self, thing: str, view: View | None, attribute: Any, wish: Any) -> float:
        if view is None:
            return FAR if attribute == "status" else 1
        now = value(view, attribute)
        return float(self.moves(thing, now, wish)) if attribute == "status" and now != wish else float(now != wish)

    def moves(self, thing: str, status: str, target: str) -> int:
        """The number of moves from a status to another one."""
        names = {id: status.name for id, status in self.before.statuses.items()}
        workflow = self.before.projects[self.before.issues[thing].project_id].workflow
        distance, reached = 0, {status}
        while target not in reached:
            onward = {names[m.to] for id, moves in workflow.items() if names[id] in reached for m in moves}
            if onward <= reached:
                return FAR
            reached |= onward
            distance += 1
        return distance

    def made(self, state: State) -> str | None:
        """The new thing that is most like the one to create. Half of the words of its name must be those asked for."""
        if not self.new:
            return None
        name = "summary" if self.kind == "issue" else "title"
        words = set(self.new[name].lower().split())
        candidates = []
        for thing in self.added(state):
            view = self.view(state, thing)
            if view is None or (thing in state.issues) != (self.kind == "issue"):
                continue
            if 2 * len(words & set((view[name] or "").lower().split())) >= len(words):
                right = sum(value(view, attribute) == wish for attribute, wish in self.new.items())
                candidates.append((right, -len(self._strange(state, thing, view)), thing))
        return max(candidates)[2] if candidates else None

    def added(self, state: State) -> list[str]:
        """The issues and pages that were created and are still there."""
        return [
            *(thing for thing in state.issues if thing not in self.before.issues),
            *(id for id, page in state.pages.items() if id not in self.before.pages and page.status != "trashed"),
        ]

    # What nobody asked for

    def harm(self, state: State) -> set[Name]:
        """What differs from the start and was not asked for."""
        before, found = self.before, set[Name]()
        made = self.made(state)
        for thing in self.added(state):
            view = self.view(state, thing)
            assert view is not None
            found |= self._strange(state, thing, view) if thing == made else {(thing, "exists")}
        for old, now in ((before.issues, state.issues), (before.pages, state.pages)):
            for thing, record in old.items():
                if now.get(thing) is not record:
                    found |= self._changes(state, thing)
        if state.footer_comments != before.footer_comments:
            for page_id in {c.page_id for c in state.footer_comments.values()} & set(before.pages):
                found |= self._changes(state, page_id)
        for table in fields(State):
            name = table.name
            if name not in ("clock", "next_id", "issues", "pages", "issue_keys", "footer_comments", "label_ids"):
                one, other = getattr(before, name), getattr(state, name)
                if name == "projects":
                    one, other = ({id: replace(p, next_number=0) for id, p in x.items()} for x in (one, other))
                found |= {(name, "")} if one != other else set()
        return found

    def _changes(self, state: State, thing: str) -> set[Name]:
        old, now = self.view(self.before, thing), self.view(state, thing)
        if old is None or now is None:
            return set() if old == now else {(thing, "exists")}
        wishes = self.wanted.get(thing, {})
        names = {name for name in {*old, *now} if value(old, name) != value(now, name) and name not in wishes}
        if "status" in wishes or "status" in names:  # The site sets and clears the resolution of a moved issue.
            default = next(iter(state.resolutions.values()), None)
            names -= {"resolution"} if now.get("resolution") in (None, old.get("resolution"), default) else set()
        return {(thing, name) for name in names}

    def _strange(self, state: State, thing: str, view: View) -> set[Name]:
        """The attributes of a new thing that were not asked for and are not as in every new one."""
        usual: View = {"owner": None, "status": "current", "draft": False, "worklogs": 0, "links": 0}
        if thing in state.issues:
            project = state.projects[view["project"]]
            usual["status"] = state.statuses[project.initial_status].name
            usual["priority"] = list(state.priorities)[len(state.priorities) // 2]
            usual["reporter"] = state.current_user
        return {(thing, name) for name in view if name not in self.new and value(view, name) != value(usual, name)}

    # Reading and answering

    @cached_property
    def needed(self) -> int:
        """How many things the task needs."""
        asked = {issue["id"] for q in self.goal.get("questions", ()) for issue in (q.get("issues") or [q["issue"]])}
        tickets = [thing for thing, wishes in self.wanted.items() if "status" in wishes]
        extra = sum(max(0, self._moves_needed(thing) - 1) for thing in tickets)
        return len(self.goal.get("lookups", ())) + len(asked | set(self.wanted)) + bool(self.new) + extra

    def _moves_needed(self, thing: str) -> int:
        """The moves to the status of a ticket: out and back if it is there with the wrong resolution."""
        issue, wishes = self.before.issues[thing], self.wanted[thing]
        names = {id: status.name for id, status in self.before.statuses.items()}
        status, target = names[issue.status_id], wishes["status"]
        if status == target and wishes.get("resolution", issue.resolution) != issue.resolution:
            onward = self.before.projects[issue.project_id].workflow[issue.status_id]
            return 1 + min(self.moves(thing, names[move.to], target) for move in onward)
        return self.moves(thing, status, target)

    def needed_issues(self) -> set[str]:
        """The issues that have to be looked up, read or changed."""
        questions = self.goal.get("questions", ())
        asked = [issue["id"] for one in questions for issue in one.get("issues", [one.get("issue")])]
        named = [alias for aliases in self.goal.get("lookups", ()) for alias in aliases]
        changed = [entry["id"] for entry in self.goal.get("issues", ())]
        return {id for id in (*asked, *named, *changed) if id in self.before.issues}

    def listed(self, trace: Sequence[Call]) -> set[str]:
        """The issues that searches showed."""
        searches = [call for call in trace if call.ok and call.name in SEARCHES]
        return {str(issue.get("id")) for call in searches for issue in call.body["issues"]}

    def was_read(self, trace: Sequence[Call]) -> bool:
        """Whether the responses show what the questions ask for."""
        listed = self.listed(trace)
        lists = listed if len(listed) <= len(self.needed_issues()) + FREE_ISSUES else set()
        return all(self._was_read(question, trace, lists) for question in self.goal.get("questions", ()))

    def _was_read(self, question: Any, trace: Sequence[Call], listed: set[str]) -> bool:
        if "issue" not in question:
            return {issue["id"] for issue in question["issues"]} <= listed
        thing, field = question["issue"]["id"], question["field"]
        reads = [call for call in trace if call.ok and call.kind == Kind.READ]
        bodies = [call.body for call in reads if call.name == "getIssue"]
        bodies += [issue for call in reads if call.name in SEARCHES and listed for issue in call.body["issues"]]
        shown = [body.get("fields") or {} for body in bodies if body.get("id") == thing]
        if field == "comments":
            key = question["issue"]["key"]
            pages = [fields["comment"] for fields in shown if "comment" in fields]
            pages += [
                call.body
                for call in reads
                if call.name == "getComments" and str(call.arguments["issueIdOrKey"]).upper() in (key, thing)
            ]
            ids = {comment.id for comment in self.before.issues[thing].comments}
            return bool(pages) and ids <= {comment["id"] for page in pages for comment in page["comments"]}
        return any({"type": "issuetype"}.get(field, field) in fields for fields in shown)

    def answers(self, trace: Sequence[Call]) -> bool | None:
        """Whether the closing answer says what was asked; None if that is not clear."""
        text = " ".join(next((str(call.arguments) for call in trace if call.kind == Kind.ANSWER), "").split())
        if self.goal.get("impossible"):
            return True if text.lower().startswith("cannot") else None if DENIAL.search(text) else False
        questions = self.goal.get("questions", ())
        if not questions:
            return None if DENIAL.search(text) else True
        right = [[" ".join(one.split()) for one in q["values"]] for q in questions]
        if not all(one in text for values in right for one in values):
            return False
        if not NOTHING_SAID.search(text) and not all(right):
            return False
        if text in ("; ".join(mark.join(values) or "none" for values in right) for mark in (", ", "; ")):
            return True
        expected = [", ".join(values) or "none" for values in right]
        keys = [question["issue"]["key"] for question in questions if "issue" in question]
        if len({*keys}) == len(questions) and text.count(": ") == len(keys):
            said = dict(part.split(": ") for part in re.split(r", (?=[A-Z]+-\d+: )", text) if part.count(": ") == 1)
            if set(said) == set(keys) and sorted(said.values()) == sorted(expected):
                return [said[key] for key in keys] == expected
        if sorted(text.split("; ")) == sorted(expected):
            return False if len({question["field"] for question in questions}) == 1 else None  # Another order.
        others = set[str]()
        for question in questions:
            others |= self._others(question["field"]) - {one for values in right for one in values}
        pieces = set(re.split(r"; |, |: |\. | is | and | or |\.$", text))
        request = self.goal["request"]
        return False if any(other in pieces and other not in request for other in others) else None

    def _others(self, field: str) -> set[str]:
        state = self.before
        return {
            "status": {status.name for status in state.statuses.values()} - {"Done"},
            "priority": set(state.priorities.values()),
            "type": {kind.name for kind in state.issue_types.values()},
            "assignee": {user.display_name for user in state.users.values()},
            "reporter": {user.display_name for user in state.users.values()},
            "resolution": set(state.resolutions.values()) - {"Done"},
            "labels": {label for issue in state.issues.values() for label in issue.labels},
            "keys": set(state.issue_keys),
        }.get(field, set())

    # The whole

    def is_true(self, trace: Sequence[Call], after: State) -> bool | None:
        """Whether the goal holds after an episode and nothing else has changed. None if the answer is not clear."""
        if any(self.facts(after).values()) or self.harm(after) or not self.was_read(trace):
            return False
        if self.goal.get("impossible") and not any(call.kind == Kind.READ and _shows(call) for call in trace):
            return False
        return self.answers(trace)

    def blame(self, trace: Sequence[Call], states: Sequence[State]) -> list[str]:
        """What is certainly wrong with the way. `states` are those before each call, and the last one."""
        found = []
        seen: set[str] = set()
        excused = bool(self.goal.get("impossible"))
        for place, call in enumerate(trace):
            if call.kind in (Kind.UNKNOWN, Kind.MALFORMED):
                found.append(f"{call.kind} call")
            elif not call.ok and not (excused and call.kind == Kind.READ and _shows(call)):
                found.append(f"failed {call.name}")
            excused &= call.ok or not _shows(call)
            form = json.dumps([call.name, call.arguments], sort_keys=True, default=str)
            if call.kind == Kind.READ:
                found += [f"repeated {call.name}"] if form in seen else []
                seen.add(form)
            if call.kind == Kind.WRITE and call.ok:
                seen.clear()
                found += self._blame_write(states[place], states[place + 1])
        reads = {json.dumps([c.name, c.arguments], sort_keys=True, default=str) for c in trace if c.kind == Kind.READ}
        if len(reads) > FREE_READS + READS_FOR_EACH * self.needed:
            found.append("too many reads")
        return found + [f"guessed {id}" for id in sorted(self.guesses(trace, states[-1]))]

    def _blame_write(self, before: State, after: State) -> list[str]:
        old, new = self.facts(before), self.facts(after)
        found = [f"took {name} away" for name in old if new[name] > old[name] and not self.has_to_leave(name, old)]
        found += [f"changed {name}" for name in self.harm(after)]
        return found or (["changed nothing"] if old == new and self.harm(before) == self.harm(after) else [])

    @staticmethod
    def has_to_leave(name: Name, facts: Mapping[Name, float]) -> bool:
        """Whether a ticket has to leave its status: only a move can set another resolution."""
        return name[1] == "status" and bool(facts.get((name[0], "resolution")))

    def guesses(self, trace: Sequence[Call], after: State) -> set[str]:
        """The ids in arguments that neither the request nor a response of an earlier turn contains.

        Numbers of up to three digits are not judged: they occur for many reasons. Neither are words to search for.
        """
        unseen = set[str]()
        ids = self._ids | {*after.issues, *after.issue_keys, *after.pages}
        for call in trace:
            if call.kind in (Kind.READ, Kind.WRITE) and isinstance(call.arguments, dict):
                text = json.dumps(
                    {name: v for name, v in call.arguments.items() if not _is_words(name, v)}, default=str
                )
                used = {word for word in re.findall(r"[\w:-]+", text) if word in ids}
                bodies = " ".join(json.dumps(c.body) for c in trace if c.ok and c.turn < call.turn and c.body)
                seen = f"{self.goal['request']} {bodies}"
                unseen |= {word for word in used if not re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", seen)}
        return unseen

    @cached_property
    def _ids(self) -> set[str]:
        state = self.before
        ids = {*state.users, *state.projects, *state.spaces, *state.pages, *state.issues, *state.issue_keys}
        return {id for id in ids if not re.fullmatch(r"\d{1,3}", id)}


def _shows(call: Call) -> bool:
    """Whether a response shows something of the site, if only that a thing is not there."""
    return call.ok or call.status == 404 or "does not exist" in json.dumps(call.body)


def _is_words(name: str, argument: Any) -> bool:
    """Whether an argument holds words to search for, names of fields, or a text."""
    return name in ("query", "title", "expand", "body") or (name == "fields" and isinstance(argument, list))
