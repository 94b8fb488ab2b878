"""The judgement that all checkers share: how near a trace's end state is to the goal, and what the way cost.

The goal's schema is in `envs.scenarios.goals`. Its facts are the attributes in `target` and `create` and the questions.
A fact that already holds before the episode is no progress; it must only be kept.

- arguments: the mean of the facts, each 1 if it holds at the end. A status counts in part, by the moves that it is
  away.
- calls: D + (1 - D) * (LOOKUPS * L + ATTEMPT * T). D is the mean of the facts, where a question counts as soon as its
  value was read; L is the fraction of the lookups that were made; T is whether a ticket of the goal was moved at all.
- side effects: every item of an issue or a page that the goal does not mention and that changed. It is left if it
  differs at the end, and otherwise reverted.

A request that cannot be met has one fact: nothing is changed, something was read, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rewards.answers import answered, denies
from rewards.compose import Outcome
from rewards.discipline import FREE_ISSUES, find_flaws
from rewards.matching import identifier, items, members, walk
from rewards.provenance import Ledger, was_accepted
from rewards.reading import Readings
from rewards.trace import Call, Kind, Trace, answer_of
from rewards.world import Item, World, default, flatten, readable

LOOKUPS, ATTEMPT = 0.4, 0.2
FARTHER, PER_MOVE, LEAST = 0.2, 0.02, 0.01
"""What a status counts that was moved but is no nearer than at the start, less for each move that it is farther."""
ALIKE = 0.5
"""A created thing counts as an attempt if its name has this share of the words of the name asked for.

It also has to be in the right project or space, since it cannot be moved there. Any other one is a side effect.
"""
END = 10**9
"""After the last turn."""
MAKERS = ("createIssue", "createPage")
"""The writes that make a thing."""
DELETION = 2
"""A deleted thing counts as this many side effects."""

Wanted = dict[Item, Any]
"""Item -> the value that it must have at the end."""


def judge(goal: Mapping[str, Any], trace: Trace) -> Outcome:
    """The outcome of a trace. Raises ValueError for a goal that an idle policy reaches."""
    return _Judgement(goal, trace).outcome()


def statuses_reached(goal: Mapping[str, Any], trace: Trace) -> bool:
    """Whether tickets were moved, and every ticket of the goal ends in the status that it needs."""
    world = World(goal["site"], trace)
    entries = [entry for entry in items(goal.get("issues")) if "status" in entry["target"]]
    moved = any(change.item == "status" for change in world.changes)
    return moved and all(world.value(entry["id"], "status") == entry["target"]["status"] for entry in entries)


class _Judgement:
    def __init__(self, goal: Mapping[str, Any], trace: Trace) -> None:
        self.goal, self.trace = goal, trace
        self.world = World(goal["site"], trace)
        self.answer = answer_of(trace)
        self.questions = items(goal.get("questions"))
        self.wanted: dict[str, Wanted] = {}
        """Thing -> what must hold of it, without what already holds."""
        self.reopened: dict[str, str] = {}
        """Ticket -> the status in which it is, with another resolution than it needs: it must be finished again."""
        for entry in (*items(goal.get("issues")), *items(goal.get("pages"))):
            thing, target = entry["id"], self._target(entry["id"], entry["target"])
            self.wanted[thing] = {i: v for i, v in target.items() if self.world.first(thing, i) != v}
            if "resolution" in self.wanted[thing] and "status" not in self.wanted[thing]:
                self.reopened[thing] = self.world.first(thing, "status")
        self.creation = flatten(next(iter(members(goal.get("create")).values()), {}))
        self.creation.pop("exists")
        self.made = self._made_thing()
        if self.made is not None:
            self.wanted[self.made] = {"exists": True, **self.creation}
        self.needed = self._count_needed()
        self.issues = self._count_issues()
        self.readings = Readings(self.world, trace, self.issues + FREE_ISSUES)

    def outcome(self) -> Outcome:
        left, reverted, wrong_values, harmful, helpful = self._side_effects()
        # A stray write must not become a source of ids, but the id of what the policy made itself is no guess.
        silent = {index for index in harmful if self.trace[index].name not in MAKERS}
        ledger = Ledger(str(self.goal.get("request", "")), self.trace, silent, self._project_of)
        flaws = find_flaws(self.world, ledger, self.trace, harmful - helpful, self.needed, self.issues)
        flaws = replace(flaws, wrong_value=wrong_values, extra_move=self._extra_moves())
        # What a write answers is no lookup: otherwise a write with a guessed id would count as having found it.
        writes = {index for index, call in enumerate(self.trace) if call.kind != Kind.READ}
        lookups = self._lookups(Ledger(str(self.goal.get("request", "")), self.trace, writes, self._project_of))
        if self.goal.get("impossible"):
            failures = sum(call.kind == Kind.READ and _shows_absence(call) for call in self.trace)
            # The failed read that shows that something does not exist is the way to know it.
            looked = failures or any(call.kind == Kind.READ and call.ok for call in self.trace)
            flaws = replace(flaws, failed_call=flaws.failed_call - min(1, failures))
            fact = float(bool(looked) and denies(self.answer))
            return Outcome(fact, max(fact, LOOKUPS * bool(looked)), flaws, left, reverted)
        flaws = replace(flaws, wrong_answer=int(denies(self.answer)))
        facts = [
            self._closeness(thing, item, value)
            for thing, items_ in self.wanted.items()
            for item, value in items_.items()
        ]
        if self.creation and self.made is None:
            facts += [0.0] * (len(self.creation) + 1)
        if not facts and not self.questions:
            raise ValueError(f"the goal of {self.goal.get('request')!r} holds before the episode")
        read = [self._is_read(question) for question in self.questions]
        said = [float(right and fair) for right, fair in zip(answered(self.goal, self.answer), read, strict=True)]
        arguments = _mean([*facts, *said])
        done = _mean([*facts, *map(float, read)])
        moved = any(self._was_moved(thing) for thing in self.wanted if self._needs_moves(thing))
        calls = done + (1 - done) * (LOOKUPS * lookups + ATTEMPT * moved)
        return Outcome(arguments, calls, flaws, left, reverted)

    # The goal

    def _target(self, thing: str, target: Mapping[str, Any]) -> Wanted:
        """What must hold of an existing thing at the end."""
        wanted: Wanted = {}
        for name, value in target.items():
            if name == "labels":
                wanted |= {("labels", label): True for label in value.get("add", ())}
                wanted |= {("labels", label): False for label in value.get("remove", ())}
            elif name == "comments":
                for text in value:
                    item = ("comments", readable(text))
                    wanted[item] = wanted.get(item, self.world.first(thing, item)) + 1
            else:
                wanted[name] = readable(value) if name in ("description", "body") else value
        return wanted

    def _made_thing(self) -> str | None:
        """The created thing that is meant to be the one asked for: the most similar one that is left."""
        if not self.creation:
            return None
        kind = next(iter(self.goal["create"]))
        name, place = ("summary", "project") if kind == "issue" else ("title", "space")
        things = [
            thing
            for thing, its_kind in self.world.created.items()
            if its_kind == kind
            and self.world.value(thing, "exists")
            and self.world.value(thing, place) == self.creation[place]
            and _alike(self.world.value(thing, name), self.creation[name])
        ]
        return max(things, key=self._agreement, default=None)

    def _agreement(self, thing: str) -> tuple[int, int]:
        """(facts that hold, less the other items that are not as in a new thing)."""
        values, start = self.world.now[thing], self.world.start[thing]
        right = sum(self.world.value(thing, item) == value for item, value in self.creation.items())
        others = sum(
            value != start.get(item, default(item))
            for item, value in values.items()
            if item not in self.creation and item != "exists"
        )
        return right, -others

    def _count_needed(self) -> int:
        """How many things the task needs: to look up, to read, to change or to make."""
        read = {issue["id"] for question in self.questions for issue in self._asked(question)}
        changed = set(self.wanted) - {self.made}
        moves = sum(
            max(0, self._distance(thing, self.world.first(thing, "status"), value) - 1)
            for thing, wanted in self.wanted.items()
            for item, value in wanted.items()
            if item == "status"
        ) + sum(self._round(thing, status) - 1 for thing, status in self.reopened.items())
        return len(items(self.goal.get("lookups"))) + len(read | changed) + bool(self.creation) + moves

    def _count_issues(self) -> int:
        """How many issues of the site the task needs."""
        known = self.goal["site"]["issues"]
        aliases = {self.world.id_of(alias) for group in items(self.goal.get("lookups")) for alias in items(group)}
        read = {issue["id"] for question in self.questions for issue in self._asked(question)}
        return len({thing for thing in aliases | read | set(self.wanted) if thing in known})

    @staticmethod
    def _asked(question: Mapping[str, Any]) -> list[Any]:
        """The issues that a question is about."""
        return items(question.get("issues")) or ([question["issue"]] if "issue" in question else [])

    # How near the end state is

    def _closeness(self, thing: str, item: Item, value: Any) -> float:
        """How near an item is to the value that it must have, in [0, 1]."""
        now = self.world.value(thing, item)
        if not self.world.value(thing, "exists"):
            return 0.0
        if item == "status" and thing in self.goal["site"]["issues"] and now != value:
            return self._status_closeness(thing, value)
        if item == "resolution" and thing in self.reopened:
            return float(now == value and self.world.value(thing, "status") == self.reopened[thing])
        return float(now == value)

    def _status_closeness(self, thing: str, target: str) -> float:
        if not self._was_moved(thing):
            return 0.0
        first = self._distance(thing, self.world.first(thing, "status"), target)
        now = self._distance(thing, self.world.value(thing, "status"), target)
        return 1 - now / first if now < first else max(LEAST, FARTHER - PER_MOVE * (now - first))

    def _needs_moves(self, thing: str) -> bool:
        return "status" in self.wanted[thing] or thing in self.reopened

    def _was_moved(self, thing: str) -> bool:
        return any(change.thing == thing and change.item == "status" for change in self.world.changes)

    def _distance(self, thing: str, start: str, target: str) -> int:
        """The number of moves from a status to another one; 50 if there is no way."""
        project = self.goal["site"]["projects"].get(self.world.first(thing, "project"), {})
        moves = project.get("moves", {})
        level, seen, distance = {start}, {start}, 0
        while level and target not in level:
            level = {move[1] for status in level for move in moves.get(status, ())} - seen
            seen |= level
            distance += 1
        return distance if level else 50

    def _is_read(self, question: Mapping[str, Any]) -> bool:
        """Whether the values of a question were shown."""
        if question["field"] in ("keys", "count"):
            return all(issue["id"] in self.readings.searched for issue in question["issues"]) and self._has_searched()
        return self.readings.shows(question["issue"]["id"], question["field"])

    def _has_searched(self) -> bool:
        return any(
            call.kind == Kind.READ and was_accepted(call) and "jql" in members(call.arguments) for call in self.trace
        )

    # The way

    def _lookups(self, ledger: Ledger) -> float:
        """The fraction of the lookups that were made: of things, and of the transitions on a shortest way."""
        things = [[str(alias).casefold() for alias in aliases] for aliases in items(self.goal.get("lookups"))]
        made = [ledger.before(END, aliases) for aliases in things if not ledger.before(0, aliases)]
        for thing, wanted in self.wanted.items():
            if "status" in wanted and thing in self.goal["site"]["issues"]:
                made += self._seen_moves(ledger, thing, wanted["status"])
        return _mean(map(float, made)) if made else 0.0

    def _seen_moves(self, ledger: Ledger, thing: str, target: str) -> list[bool]:
        """For each move of the way to the status, whether an offer of it was seen."""
        project = self.world.first(thing, "project")
        moves = self.goal["site"]["projects"].get(project, {}).get("moves", {})
        status, seen = self.world.first(thing, "status"), list[bool]()
        while status != target and len(seen) < 10:
            here = self._distance(thing, status, target)
            onward = [move for move in moves.get(status, ()) if self._distance(thing, move[1], target) == here - 1]
            if not onward:
                break
            seen.append(any(ledger.transition_before(END, project, move[0]) for move in onward))
            status = onward[0][1]
        return seen

    def _extra_moves(self) -> int:
        """The moves that brought a ticket no nearer to the status that it needs."""
        count = 0
        for change in self.world.changes:
            target = self.wanted.get(change.thing, {}).get("status")
            if change.item == "status" and target is not None and change.thing in self.goal["site"]["issues"]:
                before = self._distance(change.thing, change.before, target)
                count += self._distance(change.thing, change.after, target) >= before
        for thing, status in self.reopened.items():
            moves = sum(change.thing == thing and change.item == "status" for change in self.world.changes)
            count += max(0, moves - self._round(thing, status))
        return count

    def _round(self, thing: str, status: str) -> int:
        """The number of moves out of a status and back into it."""
        project = self.goal["site"]["projects"].get(self.world.first(thing, "project"), {})
        onward = project.get("moves", {}).get(status, ())
        return 1 + min((self._distance(thing, move[1], status) for move in onward), default=0)

    def _project_of(self, issue: Any) -> str | None:
        thing = self.world.id_of(issue)
        return None if thing is None else identifier(self.world.value(thing, "project"))

    def _side_effects(self) -> tuple[int, int, int, set[int], set[int]]:
        """(side effects left, side effects reverted, wrong values of wanted items, harmful writes, helpful writes).

        Writes are given by their indices. One write can be both.
        """
        left = reverted = wrong = 0
        harmful: set[int] = set()
        helpful: set[int] = set()
        histories: dict[tuple[str, Item], list[Any]] = {}
        for change in self.world.changes:
            histories.setdefault((change.thing, change.item), []).append(change)
        gone = {thing for thing in self.world.created if thing != self.made}
        for (thing, item), changes in histories.items():
            if thing in gone:
                harmful |= {change.index for change in changes}
                continue
            if item == "status" and thing in self.reopened:
                continue
            start, end = self.world.first(thing, item), self.world.value(thing, item)
            wanted = self.wanted.get(thing, {}).get(item, self._expected(thing, item, start))
            is_goal = item in self.wanted.get(thing, {})
            away = [change for change in changes if change.after != wanted and change.after != start]
            away += [change for change in changes if change.after == start != wanted and change.before == wanted]
            if is_goal:
                wrong += len(away) if item != "status" else 0
                helpful |= {change.index for change in changes}
                continue
            departures = [change for change in changes if change.before == wanted]
            departures = departures or changes[:1]
            harmful |= {change.index for change in changes if change.after != wanted}
            weight = DELETION if item == "exists" else 1
            left += weight * (end != wanted)
            reverted += max(0, len(departures) - (end != wanted))
        for thing in gone:
            left += bool(self.world.value(thing, "exists"))
            reverted += not self.world.value(thing, "exists")
        left += self._lost_resolutions()
        return left, reverted, wrong, harmful, helpful

    def _expected(self, thing: str, item: Item, start: Any) -> Any:
        """The value that an item which the goal does not mention must have at the end."""
        if item == "resolution" and "status" in self.wanted.get(thing, {}):
            return self._automatic(self.wanted[thing]["status"], start)
        if isinstance(item, tuple) and thing == "":
            return 0
        return start

    def _automatic(self, status: str, before: str | None) -> str | None:
        """The resolution that a ticket in a status has if nobody chose one."""
        site = self.goal["site"]
        if status not in site["done"]:
            return None
        return before or next(iter(site["resolutions"].values()), None)

    def _lost_resolutions(self) -> int:
        """Tickets that ended in the status in which they began but lost their resolution on the way."""
        return sum(
            self.world.value(thing, "resolution") != self.world.first(thing, "resolution")
            for thing in {change.thing for change in self.world.changes if change.item == "status"}
            if thing in self.goal["site"]["issues"]
            and "resolution" not in self.wanted.get(thing, {})
            and "status" not in self.wanted.get(thing, {})
            and self.world.value(thing, "status") == self.world.first(thing, "status")
            and not any(c.item == "resolution" and c.thing == thing for c in self.world.changes)
        )


ABSENT = ("does not exist", "valid project")


def _shows_absence(call: Call) -> bool:
    """Whether the API refused a call because something does not exist."""
    texts = [value for _, value in walk(call.body) if isinstance(value, str)]
    from_api = not {"errorMessages", "errors", "message"}.isdisjoint(members(call.body))
    return from_api and (
        call.status == 404 or (call.status == 400 and any(a in text for a in ABSENT for text in texts))
    )


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)


def _alike(name: Any, target: str) -> bool:
    """Whether a name has enough words of the name asked for."""
    words = set(target.casefold().split())
    return isinstance(name, str) and len(words & set(name.casefold().split())) >= ALIKE * len(words)
