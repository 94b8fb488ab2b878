"""Flaws of the way to the end state, and what they cost.

Each flaw takes a share of the discipline that is left (`SHARES`), so that no number of them takes more than there is
and every further one still costs. `rewards.compose` says what discipline is worth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

from rewards.matching import canonical, items, lookup
from rewards.provenance import Ledger, uses_unseen_id, was_accepted
from rewards.reading import shown_issues
from rewards.trace import Kind, Trace
from rewards.world import World

FREE_READS, READS_FOR_EACH = 4, 2
"""Successful reads are free up to FREE_READS, plus READS_FOR_EACH for each thing that the task needs."""
FREE_ISSUES = 3
"""Searches may show this many more different issues than the task needs. Beyond that they are listings."""


@dataclass(frozen=True)
class Flaws:
    """How often each flaw occurs in a trace."""

    failed_call: int = 0
    """An offered tool answered with an error."""
    unknown_tool: int = 0
    """The tool is not offered."""
    malformed_call: int = 0
    """The text is not a tool call."""
    repeated_call: int = 0
    """The same read again without a change in between, or a write that changed nothing."""
    unseen_id: int = 0
    """A call with an identifier that neither the request nor a response of an earlier turn contains."""
    extra_read: int = 0
    """A successful read beyond those that are free."""
    listing: int = 0
    """A search after which more different issues were shown than the task needs and FREE_ISSUES more."""
    extra_move: int = 0
    """A move of a ticket that brought it no nearer to the status that it needs."""
    wrong_value: int = 0
    """A wrong value set on what had to change. It costs also after it was corrected."""
    wrong_answer: int = 0
    """The closing answer denies that a request can be met which can."""


SHARES: Mapping[str, float] = {
    "failed_call": 0.2,
    "unknown_tool": 0.4,
    "malformed_call": 0.4,
    "repeated_call": 0.3,
    "unseen_id": 0.5,
    "extra_read": 0.15,
    "listing": 0.3,
    "extra_move": 0.2,
    "wrong_value": 0.2,
    "wrong_answer": 0.5,
}
"""Flaw -> the share of the discipline that is left which one occurrence takes."""


def remaining(flaws: Flaws, scale: float = 1.0) -> float:
    """The share of the discipline that the flaws leave, in (0, 1]; 1 exactly without flaws. `scale` scales the costs.

    >>> remaining(Flaws(failed_call=2))
    0.6400000000000001
    """
    left = 1.0
    for flaw in fields(Flaws):
        # The bound keeps the product above zero for any trace.
        left *= max(1 - scale * SHARES[flaw.name], 0.0) ** min(getattr(flaws, flaw.name), 50)
    return left


def find_flaws(world: World, ledger: Ledger, trace: Trace, useless: Collection[int], needed: int, issues: int) -> Flaws:
    """Count the flaws that do not depend on the goal.

    `needed` is the number of things that the task needs, and `issues` how many of them are issues that exist.
    A read repeats another one if no write between them changed anything that was wanted: otherwise a policy could
    repeat a read at the price of a stray write. `useless` are the indices of the writes that only changed something
    else.
    """
    counts = dict.fromkeys(Kind, 0)
    failures = repeats = reads = guesses = listings = 0
    known_keys = {str(project["key"]).casefold() for project in world.site["projects"].values()}
    recent: set[str] = set()
    shown: set[str] = set()
    for index, call in enumerate(trace):
        if call.kind == Kind.ANSWER:
            continue
        kind = call.kind if call.kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN) else Kind.MALFORMED
        counts[kind] += 1
        failures += kind in (Kind.READ, Kind.WRITE) and not call.ok
        guesses += uses_unseen_id(ledger, call, known_keys) or _replaces_unread(world, ledger, trace, index)
        form = canonical([call.name, call.arguments])
        repeats += form in recent or (index in world.effects and not world.effects[index])
        reads += kind == Kind.READ and call.ok and form not in recent
        if world.effects.get(index) and index not in useless:
            recent.clear()
        recent.add(form)
        found = shown_issues(call) - shown
        shown |= found
        listings += bool(found) and len(shown) > issues + FREE_ISSUES
    return Flaws(
        failed_call=failures,
        unknown_tool=counts[Kind.UNKNOWN],
        malformed_call=counts[Kind.MALFORMED],
        repeated_call=repeats,
        unseen_id=guesses,
        extra_read=max(0, reads - FREE_READS - READS_FOR_EACH * needed),
        listing=listings,
    )


def _replaces_unread(world: World, ledger: Ledger, trace: Trace, index: int) -> bool:
    """Whether a write sets a list of labels again of which some were never shown: a guess that they are there."""
    call = trace[index]
    thing = world.id_of(lookup(call.arguments, "issueIdOrKey"))
    if call.kind != Kind.WRITE or not was_accepted(call) or thing is None:
        return False
    lists = [lookup(call.arguments, "fields", "labels")]
    lists += [lookup(entry, "set") for entry in items(lookup(call.arguments, "update", "labels"))]
    kept = {label for one in lists for label in items(one) if isinstance(label, str)}
    return any(
        world.first(thing, ("labels", label))
        and not ledger.label_before(call.turn, label)
        and not ledger.before(call.turn, (label.casefold(),))
        for label in kept
    )
