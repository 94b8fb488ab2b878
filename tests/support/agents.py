"""A grammar of what agents do: they look, try, fail, mend, undo, redo, check and answer.

A program is a sequence of (step, seed). A step sees the episode so far and adds a turn, or nothing where it does not
apply. So every part of a program is a program, and a long one that finds a fault can be shortened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any

from envs.episode import Task
from envs.protocol import ToolCall, Turn
from envs.scenarios import SCENARIOS
from envs.site.records import State
from rewards.trace import Kind
from tests.support.calls import document
from tests.support.replay import Episode, Recorder, finish, judge_of, oracle
from tests.support.spoiling import change, other_call
from tests.support.truth import Judge, View, value

Program = Sequence[tuple[str, int]]
SEARCH = "searchAndReconsileIssuesUsingJql"
INVENTED = ("getIssueByKey", "searchIssues", "createTask", "updateIssue", "addLabel", "")


class Agent:
    """An agent in the middle of an episode. `others` are tasks whose calls it may make by mistake."""

    def __init__(self, task: Task, others: Sequence[Task] = ()) -> None:
        self.task, self.others = task, others or (task,)
        self.env = Recorder(task)
        self.judge = judge_of(task)
        self.tools = SCENARIOS[task.scenario].tools
        self.turns, self.answer = oracle(task.scenario, task.seed, task.split)
        self.place = 0

    @property
    def state(self) -> State:
        return self.env.site.state

    def say(self, *calls: ToolCall) -> None:
        if calls:
            self.env.step(Turn("", tuple(deepcopy(calls))))

    def call(self, name: str, **arguments: Any) -> None:
        self.say(ToolCall(name, arguments))

    def next_calls(self) -> tuple[ToolCall, ...]:
        """The oracle's next turn."""
        self.place += 1
        return self.turns[self.place - 1].calls if self.place <= len(self.turns) else ()


def run(task: Task, program: Program, others: Sequence[Task] = ()) -> Episode:
    """The episode of a program. It ends with the first answer."""
    agent = Agent(task, others)
    for step, seed in program:
        if (content := STEPS[step](agent, Random(seed))) is not None:
            agent.env.step(Turn(content))
            break
    return finish(agent.env)


def random_program(random: Random, length: int = 7) -> Program:
    """Some steps, in half of the programs around the oracle's, and usually an answer."""
    steps = [random.choice(MOST) for _ in range(random.randrange(length + 1))]
    if random.random() < 0.6:
        place = random.randrange(len(steps) + 1)
        steps = [*steps[:place], "rest", *(step for step in steps[place:] if random.random() < 0.5)]
    if random.random() < 0.9:
        steps.append(random.choice(ANSWERS))
    return [(step, random.randrange(10**6)) for step in steps]


# Trying


def follow(agent: Agent, random: Random) -> None:
    agent.say(*agent.next_calls())


def rest(agent: Agent, random: Random) -> None:
    while calls := agent.next_calls():
        agent.say(*calls)


def skip(agent: Agent, random: Random) -> None:
    agent.next_calls()


def again(agent: Agent, random: Random) -> None:
    """Starts over."""
    agent.place = 0


def together(agent: Agent, random: Random) -> None:
    """Two turns of the oracle at once."""
    agent.say(*agent.next_calls(), *agent.next_calls())


def slip(agent: Agent, random: Random) -> None:
    """The oracle's next call with a mistake."""
    calls = agent.next_calls()
    agent.say(*(ToolCall(call.name, change(call.arguments, agent.state, random)) for call in calls))


def splice(agent: Agent, random: Random) -> None:
    """A call of another task's oracle."""
    other = random.choice(agent.others)
    turns, _ = oracle(other.scenario, other.seed, other.split)
    if turns:
        agent.say(*random.choice(turns).calls)


def near(agent: Agent, random: Random) -> None:
    """A write that makes a fact of the goal hold, by any tool that can."""
    facts = [name for name, distance in agent.judge.facts(agent.state).items() if distance]
    if facts:
        thing, attribute = random.choice(facts)
        if thing == "new":
            create(agent, random, right=True)
        else:
            agent.say(*writes(agent, thing, {attribute: agent.judge.wanted[thing][attribute]}, random)[:1])


def far(agent: Agent, random: Random) -> None:
    """A write that gives an attribute which the goal names a wrong value."""
    names = [(thing, name) for thing, wishes in agent.judge.wanted.items() for name in wishes]
    made = agent.judge.made(agent.state)
    if made:
        names += [(made, name) for name in agent.judge.new if name not in ("project", "space")]
    if names:
        thing, attribute = random.choice(names)
        wrong = other_value(agent, thing, attribute, random)
        agent.say(*writes(agent, thing, {attribute: wrong}, random)[:1])


def create(agent: Agent, random: Random, right: bool = False) -> None:
    """Creates the thing that was asked for, or one that lacks something or is called something else."""
    wishes = dict(agent.judge.new)
    if not wishes:
        return
    name = "summary" if agent.judge.kind == "issue" else "title"
    if not right:
        lost = random.choice([*wishes, name])
        if lost == name:
            wishes[name] = random.choice((f"{wishes[name]}!", "Another", wishes[name].upper(), f"New {wishes[name]}"))
        elif lost not in ("project", "space", "type"):
            del wishes[lost]
    agent.say(creation(agent.judge.kind, wishes))


def creation(kind: str, wishes: View) -> ToolCall:
    """A call that creates an issue or a page with the attributes."""
    if kind == "page":
        arguments = {"spaceId": wishes["space"], "title": wishes["title"]}
        arguments |= {"parentId": wishes["parent"]} if wishes.get("parent") else {}
        arguments |= {"body": storage(wishes["body"])} if wishes.get("body") else {}
        return ToolCall("createPage", arguments)
    labels = [name[1] for name in wishes if name[0] == "labels"]
    rest = {name: wish for name, wish in wishes.items() if not isinstance(name, tuple) and name != "status"}
    return ToolCall("createIssue", {"fields": {**fields(rest), **({"labels": labels} if labels else {})}})


def storage(text: str | None) -> dict[str, str]:
    paragraphs = "".join(f"<p>{line}</p>" for line in (text or "").replace("&", "&amp;").split("\n"))
    return {"representation": "storage", "value": paragraphs}


def fields(wishes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes of an issue as the API's fields."""
    result: dict[str, Any] = {}
    for name, wish in wishes.items():
        if name in ("project", "priority", "parent", "type"):
            result["issuetype" if name == "type" else name] = wish and {"id": wish}
        elif name in ("assignee", "reporter"):
            result[name] = wish and {"accountId": wish}
        elif name == "description":
            result[name] = wish and document(wish)
        elif name == "summary":
            result[name] = wish
    return result


def writes(agent: Agent, thing: str, wishes: View, random: Random) -> list[ToolCall]:
    """Calls that give a thing the attributes, one for each and as far as the tools allow."""
    view = Judge.view(agent.state, thing)
    if view is None:
        return []
    calls = []
    for attribute, wish in wishes.items():
        if value(view, attribute) != wish:
            calls += (
                write_page(agent, thing, attribute, wish)
                if thing in agent.state.pages
                else write_issue(agent, thing, attribute, wish, random)
            )
    return [call for call in calls if call.name in agent.tools]


def write_issue(agent: Agent, thing: str, attribute: Any, wish: Any, random: Random) -> list[ToolCall]:
    state, issue = agent.state, agent.state.issues[thing]
    place = {"issueIdOrKey": random.choice((issue.key, issue.id))}
    if attribute == "assignee" and "assignIssue" in agent.tools and random.random() < 0.5:
        return [ToolCall("assignIssue", {**place, "accountId": wish})]
    if isinstance(attribute, tuple) and attribute[0] == "labels":
        if random.random() < 0.5:
            labels = {*issue.labels, attribute[1]} if wish else {*issue.labels} - {attribute[1]}
            return [ToolCall("editIssue", {**place, "fields": {"labels": sorted(labels)}})]
        operation = {"add" if wish else "remove": attribute[1]}
        return [ToolCall("editIssue", {**place, "update": {"labels": [operation]}})]
    if isinstance(attribute, tuple):
        body = document(attribute[1] or "x")
        in_edit = ToolCall("editIssue", {**place, "update": {"comment": [{"add": {"body": body}}]}})
        return [random.choice((in_edit, ToolCall("addComment", {**place, "body": body})))] if wish else []
    if attribute in ("status", "resolution"):
        moves = state.projects[issue.project_id].workflow.get(issue.status_id, ())
        wishes = agent.judge.wanted.get(thing, {})
        target = wish if attribute == "status" else wishes.get("status", state.statuses[issue.status_id].name)
        by_distance = sorted(moves, key=lambda m: (agent.judge.moves(thing, state.statuses[m.to].name, target), m.id))
        calls = []
        for move in by_distance[:1]:
            arguments: dict[str, Any] = {**place, "transition": {"id": move.id}}
            resolution = wish if attribute == "resolution" else wishes.get("resolution")
            if move.resolution and resolution and random.random() < 0.8:
                arguments["fields"] = {"resolution": {"name": resolution}}
            calls.append(ToolCall("doTransition", arguments))
        return calls
    setting = fields({attribute: wish})
    if not setting:
        return []
    if random.random() < 0.3:
        return [ToolCall("editIssue", {**place, "update": {name: [{"set": one}] for name, one in setting.items()}})]
    return [ToolCall("editIssue", {**place, "fields": setting})]


def write_page(agent: Agent, thing: str, attribute: Any, wish: Any) -> list[ToolCall]:
    page = agent.state.pages[thing]
    if attribute not in ("title", "body", "parent"):
        return []
    arguments = {"id": thing, "status": "current", "title": page.title, "body": storage_of(page)}
    arguments["version"] = {"number": page.versions[-1].number + 1}
    arguments |= {"parentId": wish} if attribute == "parent" else {}
    arguments |= {"title": wish or "x"} if attribute == "title" else {}
    arguments |= {"body": storage(wish)} if attribute == "body" else {}
    return [ToolCall("updatePage", arguments)]


def storage_of(page: Any) -> dict[str, str]:
    return {"representation": page.representation, "value": page.body}


def other_value(agent: Agent, thing: str, attribute: Any, random: Random) -> Any:
    """A wrong value."""
    state = agent.state
    if isinstance(attribute, tuple):
        wish = agent.judge.wanted.get(thing, agent.judge.new).get(attribute, 0)
        return 1 - wish if attribute[0] == "labels" else wish + 1
    tables: dict[str, list[Any]] = {
        "status": [status.name for status in state.statuses.values()],
        "priority": list(state.priorities),
        "type": list(state.issue_types),
        "assignee": [*state.users, None],
        "reporter": list(state.users),
        "resolution": list(state.resolutions.values()),
        "parent": [*(state.issues if thing in state.issues else state.pages)],
    }
    return random.choice(tables.get(attribute, ["Something else", "x"]))


# Looking


def look(agent: Agent, random: Random) -> None:
    """Reads something that the task is about."""
    things = [*agent.judge.wanted, *filter(None, [agent.judge.made(agent.state)])]
    things += [q["issue"]["id"] for q in agent.task.goal.get("questions", ()) if "issue" in q]
    if things:
        read(agent, random.choice(things), random)


def peek(agent: Agent, random: Random) -> None:
    """Reads something else."""
    read(agent, random.choice([*agent.state.issues, *agent.state.pages]), random)


def read(agent: Agent, thing: str, random: Random) -> None:
    state, calls = agent.state, []
    if thing in state.issues:
        issue = state.issues[thing]
        place = {"issueIdOrKey": random.choice((issue.key, thing))}
        project = state.projects[issue.project_id].key
        calls = [
            ToolCall("getIssue", place),
            ToolCall("getIssue", {**place, "fields": ["status", "labels", "assignee", "comment"]}),
            ToolCall("getTransitions", place),
            ToolCall("getComments", place),
            ToolCall(SEARCH, {"jql": f"key = {issue.key}", "fields": ["*all"]}),
            ToolCall(SEARCH, {"jql": f'project = {project} AND summary ~ "{issue.summary}"', "fields": ["labels"]}),
            ToolCall("findUsers", {"query": state.users[issue.reporter].display_name}),
            ToolCall("getProject", {"projectIdOrKey": project}),
        ]
    elif thing in state.pages:
        page = state.pages[thing]
        calls = [
            ToolCall("getPageById", {"id": thing, "body-format": "storage"}),
            ToolCall("getPages", {"title": page.title}),
            ToolCall("getSpaces", {"keys": [state.spaces[page.space_id].key]}),
            ToolCall("getChildPages", {"id": thing}),
        ]
    offered = [call for call in calls if call.name in agent.tools]
    if offered:
        agent.say(random.choice(offered))


def listing(agent: Agent, random: Random) -> None:
    """Lists a project or the spaces."""
    project = random.choice(list(agent.state.projects.values())).key
    calls = [
        ToolCall(SEARCH, {"jql": f"project = {project}", "fields": ["*all"]}),
        ToolCall(SEARCH, {"jql": "created > -3650d", "fields": ["status", "labels", "summary"], "maxResults": 100}),
        ToolCall(SEARCH, {"jql": f"project = {project} AND issuetype = Bug", "fields": ["*all"]}),
        ToolCall(SEARCH, {"jql": f"project = {project} AND issuetype != Bug", "fields": ["*all"]}),
        ToolCall("getSpaces", {}),
        ToolCall("searchProjects", {}),
        ToolCall("getAllLabels", {}),
    ]
    agent.say(random.choice([call for call in calls if call.name in agent.tools]))


# Failing


def fail(agent: Agent, random: Random) -> None:
    """A call that the API refuses."""
    options: dict[str, Any] = {
        "getIssue": {"issueIdOrKey": "NOPE-1"},
        "editIssue": {"issueIdOrKey": "NOPE-1", "fields": {"summary": "x"}},
        "doTransition": {"issueIdOrKey": "NOPE-1", "transition": {}},
        "createIssue": {"fields": {"summary": "x"}},
        "createPage": {"spaceId": "1", "title": "x"},
        "getPageById": {"id": "1"},
        SEARCH: {"jql": "status ="},
    }
    name = random.choice([name for name in options if name in agent.tools])
    agent.call(name, **options[name])


def refused_again(agent: Agent, random: Random) -> None:
    """The last write with something that makes the API refuse it, as if more of it could pay."""
    accepted = [call for call in agent.env.trace if call.kind == Kind.WRITE and call.ok]
    if accepted:
        more: Any = random.choice(
            ({"transition": {}}, {"fields": {"nonsense": 1}}, {"update": {"labels": "x"}}, {"x": 1})
        )
        agent.call(accepted[-1].name, **{**accepted[-1].arguments, **more})


def blank(agent: Agent, random: Random) -> None:
    """A call of the right tool without its content."""
    calls = [call for turn in agent.turns for call in turn.calls]
    if calls:
        call = random.choice(calls)
        agent.call(call.name, **{name: {} if isinstance(v, dict) else v for name, v in call.arguments.items()})


def unknown(agent: Agent, random: Random) -> None:
    calls = [call for turn in agent.turns for call in turn.calls]
    agent.call(random.choice(INVENTED), **(random.choice(calls).arguments if calls else {}))


def malformed(agent: Agent, random: Random) -> None:
    agent.say(ToolCall("", '{"name": "getIssue", "arguments": {', "not JSON"))


# Doing harm


def junk(agent: Agent, random: Random) -> None:
    """Changes something else."""
    agent.say(ToolCall(*other_call(agent.state, random, agent.tools)))


def extra(agent: Agent, random: Random) -> None:
    """Changes something on the right thing that nobody asked for."""
    things = [*agent.judge.wanted, *filter(None, [agent.judge.made(agent.state)])]
    things += [q["issue"]["id"] for q in agent.task.goal.get("questions", ()) if "issue" in q]
    if things:
        thing = random.choice(things)
        options: View = {("labels", "junk"): 1, ("comments", "Noted."): 1, "summary": "Junk", "priority": "1"}
        options |= {"assignee": random.choice([*agent.state.users, None]), "description": "Junk", "title": "Junk"}
        attribute = random.choice(list(options))
        agent.say(*writes(agent, thing, {attribute: options[attribute]}, random)[:1])


# Mending


def undo(agent: Agent, random: Random) -> None:
    """Takes back a change of the last write that changed something."""
    states = agent.env.states
    before = next((state for state in reversed(states) if state is not states[-1]), None)
    if before is None:
        return
    back(agent, before, random)


def back(agent: Agent, before: State, random: Random) -> None:
    """One step back to an earlier state."""
    state = agent.state
    for kind, tool, name in (("issues", "deleteIssue", "issueIdOrKey"), ("pages", "deletePage", "id")):
        old, now = getattr(before, kind), getattr(state, kind)
        for thing, record in now.items():
            if old.get(thing) is record or getattr(record, "status", "") == "trashed":
                continue
            if thing not in old:
                if tool in agent.tools:
                    agent.call(tool, **{name: thing if kind == "pages" else random.choice((thing, record.key))})
                    return
            elif calls := writes(agent, thing, difference(before, state, thing), random):
                agent.say(calls[0])
                return


def difference(before: State, state: State, thing: str) -> View:
    """The attributes that a thing had before and has not now."""
    old, now = Judge.view(before, thing), Judge.view(state, thing)
    if old is None or now is None:
        return {}
    return {name: value(old, name) for name in {**old, **now} if value(old, name) != value(now, name)}


def tidy(agent: Agent, random: Random) -> None:
    """Takes back something that nobody asked for."""
    harm = sorted(agent.judge.harm(agent.state), key=str)
    before = agent.env.states[0]
    for thing, name in random.sample(harm, len(harm)):
        if thing not in before.issues and thing not in before.pages:
            if name == "exists":
                issue = agent.state.issues.get(thing)
                call = ("deleteIssue", {"issueIdOrKey": issue.key}) if issue else ("deletePage", {"id": thing})
                if call[0] in agent.tools:
                    agent.call(call[0], **call[1])
                    return
        elif calls := writes(agent, thing, difference(before, agent.state, thing) | {}, random):
            agent.say(calls[0])
            return


def redo(agent: Agent, random: Random) -> None:
    """The last accepted write once more."""
    accepted = [call for call in agent.env.trace if call.kind == Kind.WRITE and call.ok]
    if accepted:
        agent.call(accepted[-1].name, **accepted[-1].arguments)


def repeat(agent: Agent, random: Random) -> None:
    """Any earlier call once more."""
    calls = [call for call in agent.env.trace if isinstance(call.arguments, dict)]
    if calls:
        call = random.choice(calls)
        agent.call(call.name, **call.arguments)


def delete(agent: Agent, random: Random) -> None:
    """Deletes what was created."""
    added = agent.judge.added(agent.state)
    if added:
        thing = random.choice(added)
        issue = agent.state.issues.get(thing)
        call = ("deleteIssue", {"issueIdOrKey": issue.key}) if issue else ("deletePage", {"id": thing})
        agent.call(call[0], **call[1])


# Answering


def right_answer(agent: Agent, random: Random) -> str:
    return agent.answer


def wrong_answer(agent: Agent, random: Random) -> str:
    state, field = agent.state, (agent.task.goal.get("questions") or [{"field": ""}])[0]["field"]
    kinds = [status.name for status in state.statuses.values()], list(state.priorities.values())
    words = [*kinds[0], *kinds[1], *(user.display_name for user in state.users.values()), "none", "5"]
    words += [str(q["values"][0]) for q in agent.task.goal.get("questions", ()) if q["values"]]
    return random.choice(words) if field else "It is done."


def hedged_answer(agent: Agent, random: Random) -> str:
    """The right answer and another one."""
    other = wrong_answer(agent, random)
    return random.choice((f"{agent.answer} or {other}", f"{other}; {agent.answer}", f"{agent.answer}; none"))


def shuffled_answer(agent: Agent, random: Random) -> str:
    """The values in another order, or each after the key of its issue."""
    parts = agent.answer.split("; ")
    keys = [q["issue"]["key"] for q in agent.task.goal.get("questions", ()) if "issue" in q]
    if len(keys) == len(parts) and random.random() < 0.5:
        wrong = random.sample(keys, len(keys))
        return ", ".join(f"{key}: {part}" for key, part in zip(random.choice((keys, wrong)), parts, strict=True))
    return "; ".join(random.sample(parts, len(parts)))


def part_of_answer(agent: Agent, random: Random) -> str:
    return agent.answer[: random.randrange(len(agent.answer) + 1)]


def cannot(agent: Agent, random: Random) -> str:
    return random.choice(("Cannot: there is no such issue.", "It is not possible.", "I could not find it."))


def no_answer(agent: Agent, random: Random) -> str:
    return ""


STEPS: dict[str, Callable[[Agent, Random], str | None]] = {
    step.__name__: step
    for step in (
        *(follow, rest, skip, again, together, slip, splice, near, far, create, look, peek, listing, fail),
        *(refused_again, blank, unknown, malformed, junk, extra, undo, tidy, redo, repeat, delete),
        *(right_answer, wrong_answer, hedged_answer, shuffled_answer, part_of_answer, cannot, no_answer),
    )
}
ANSWERS = (
    *["right_answer"] * 5,
    "wrong_answer",
    "hedged_answer",
    "shuffled_answer",
    "part_of_answer",
    "cannot",
    "no_answer",
)
MOST = [
    *(name for name in STEPS if name not in ANSWERS),
    *("follow", "follow", "near", "near", "far", "undo", "tidy", "extra", "slip", "slip"),
]
