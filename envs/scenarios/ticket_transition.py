"""`ticket-transition`: move tickets to a status, in some tasks with a resolution, a comment or an assignee.

Difficulty 1 is one move of a ticket named by its key. 2 is two moves, or one with a resolution or a comment. 3 names
the ticket by its summary and project and may have all of these. 4 has to read before it decides, five kinds equally
often:

- a condition: the reporter gets the ticket if nobody has it; the ticket's fields or its parent's status choose between
  two moves, or between a move and a comment;
- a set: one to three tickets of a project with a status and a second property, in some requests without one of them;
- look-alikes: two tickets with one summary in a project, told apart by a second property, by rank or by age;
- a request that cannot be met: no such ticket, status or resolution, or a single move that is not offered (in half of
  these requests it is);
- a start that is half right: done with another resolution, one of two tickets there already, or half of a move and its
  comment.

Most requests of difficulty 2 and 3, and many of 4, name two tickets, projects, statuses or resolutions and say which
they mean (`envs.scenarios.decoys`). Others say what is not asked for: the ticket's status, another ticket, a status or
a resolution that would be wrong, a text that is no comment. A goal's `plan` is for the demonstrator alone.

`ticket-transition-saturated` has the same tasks with the paper's reward. A prompted model already reaches its maximum.
"""

from __future__ import annotations

from typing import Any

from envs.scenarios.drafting import AtlassianScenario, Draft
from envs.scenarios.ticket_decisions import draft_decision
from envs.scenarios.ticket_moves import ask, draw_issue, draw_move, moving, targets
from envs.scenarios.ticket_steps import demonstrate
from rewards import ticket_transition, ticket_transition_saturated


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    while True:
        try:
            return draft_decision(draft) if draft.difficulty == 4 else plain(draft)
        except IndexError:  # The site has no issue for this kind of task. Nothing was written.
            draft.wording.clear()


def plain(draft: Draft) -> tuple[str, dict[str, Any]]:
    """One ticket that is to be moved."""
    rng, by_key = draft.rng, draft.difficulty < 3
    moves = 1 if draft.difficulty == 1 else rng.choice((1, 2))
    extras = rng.random() < 0.5 if draft.difficulty == 3 else draft.difficulty == 2 and moves == 1
    issue, options = draw_issue(
        draft, lambda issue: targets(draft.state, issue, moves, draft.difficulty == 1), unique_summary=not by_key
    )
    status = rng.choice(list(options))
    move = draw_move(draft, status, options[status], extras)
    text, named = ask(draft, issue, move, by_key)
    return text, moving(draft, issue, move, named)


TOOLS = (
    "getTransitions",
    "doTransition",
    "getIssue",
    "searchAndReconsileIssuesUsingJql",
    "getStatuses",
    "getComments",
    "addComment",
    "assignIssue",
    "addWorklog",
    "linkIssues",
)
SCENARIO = AtlassianScenario("ticket-transition", TOOLS, draft, ticket_transition.check, demonstrate)
SATURATED = AtlassianScenario(
    "ticket-transition-saturated",
    TOOLS,
    draft,
    ticket_transition_saturated.check,
    demonstrate,
    draw_as="ticket-transition",
)
