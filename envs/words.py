"""Names for synthetic sites and requests.

Every name is a combination of ordinary words. A hash of the combination assigns it to one split, so train and held-out
names are disjoint, although each single word occurs in both. Nothing depends on Python's hash order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from zlib import crc32

from envs.protocol import Split
from envs.site.jql.tokens import RESERVED_WORDS

FIRST = (
    "Dana Omar Lena Priya Marco Yuki Ivan Nora Carlos Aisha Peter Sofia Jonas Mei Ruth Tariq Elif Bruno Hana Pablo"
).split()
LAST = (
    "Reyes Okafor Novak Sharma Rossi Tanaka Petrov Holm Mendoza Khan Schmidt Costa Weber Chen Adler Haddad Silva "
    "Moreau Lind Osei Jensen"
).split()
CODENAMES = (
    "Apollo Harbor Falcon Orchid Summit Cobalt Meadow Lantern Granite Willow Comet Juniper Beacon Canyon Ember Glacier "
    "Maple Nimbus Raven Tundra"
).split()
AREAS = (
    "Billing Mobile Platform Search Payments Reports Gateway Onboarding Analytics Support Catalog Identity Logistics "
    "Messaging Storage Pricing Subscriptions"
).split()
VERBS = "Fix Update Remove Improve Review Test Document Migrate Replace Simplify Verify Rename".split()
FLAWS = "slow broken missing duplicate old unstable hidden wrong noisy unused".split()
FEATURES = "login invoice search export upload checkout report password email calendar dashboard webhook".split()
PARTS = "page form button service job cache query filter timeout template".split()
SUMMARY = (VERBS, FLAWS, FEATURES, PARTS)
"""A summary has a word of each."""
LABEL_TOPICS = (
    "customer release tech security quick data design mobile partner field billing search vendor cloud legal market "
    "office night launch beta"
).split()
LABEL_KINDS = (
    "request review debt audit win blocker cleanup feedback risk idea change budget story task check alert upgrade "
    "report event plan training"
).split()
TITLE_KINDS = "Quarterly Weekly Internal Public Regional Annual Shared Global Draft Monthly Local Basic".split()
TITLE_TOPICS = (
    "Release Security Budget Hiring Incident Design Support Travel Vendor Privacy Training Network Sales Launch "
    "Supplier Backup"
).split()
TITLE_FORMS = (
    "Notes Plan Guide Review Checklist Report Roadmap Handbook Summary Agenda Policy Calendar Overview Template"
).split()
SPACE_TOPICS = (
    "Customer Product People Cloud Finance Field Legal Brand Partner Market Data Office Quality Research Safety Campus "
    "Retail Energy Media Student Member Asset Credit Garden Theatre Museum"
).split()
SPACE_FORMS = (
    "Knowledge Operations Library Projects Success Programs Hub Archive Services Planning Team Standards Studio Desk "
    "Center Forum Guild Bureau Circle Corner Works Academy Practice"
).split()
SUBJECTS = (
    "The team",
    "Our customers",
    "The auditors",
    "Two users",
    "The vendor",
    "All managers",
    "New members",
    "Some partners",
    "The office",
    "Three testers",
)
ACTIONS = "reported requested confirmed noticed approved expected found mentioned suggested described".split()
WORDS = tuple(
    dict.fromkeys(
        FIRST + LAST + CODENAMES + AREAS + VERBS + FLAWS + FEATURES + PARTS + LABEL_TOPICS
        + TITLE_KINDS + TITLE_TOPICS + TITLE_FORMS + SPACE_TOPICS + SPACE_FORMS + ACTIONS
    )
)  # fmt: skip
"""Every word above once, except for the words of labels that follow the hyphen."""
OBJECTS = (
    "a delay",
    "an error",
    "a new layout",
    "more details",
    "a second check",
    "the same problem",
    "a shorter form",
    "an old notice",
    "a wrong total",
    "better names",
)
TAILS = (
    "in the invoice export",
    "on the login page",
    "after the last release",
    "before the next audit",
    "during the upload",
    "for the mobile app",
    "in the weekly report",
    "on the start page",
    "after the first meeting",
    "for the new office",
)
KEY_LETTERS = "ABCDEFGHKLMNPRSTVWXZ"
RESERVED_KEYS = frozenset(word.upper() for word in RESERVED_WORDS)

HELDOUT_SHARE = 5
"""One name in HELDOUT_SHARE belongs to the held-out split."""
MAX_DRAWS = 10_000
"""After this many draws without an unused name, no name of the kind is left."""


def split_of(name: str) -> Split:
    """The split of a name; a pure function of its text."""
    return "heldout" if crc32(name.encode()) % HELDOUT_SHARE == 0 else "train"


class Names:
    """Draws names of one split, each at most once."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self.rng = rng
        self.split = split
        self._previous: set[str] = set()

    def _draw(self, candidate: Callable[[], str], exclusions: Collection[str] = ()) -> str:
        for _ in range(MAX_DRAWS):
            name = candidate()
            if name not in self._previous and name not in exclusions and split_of(name) == self.split:
                self._previous.add(name)
                return name
        raise RuntimeError(f"no unused {self.split} name is left of the kind of {candidate()!r}")

    def _words(self, *lists: list[str] | tuple[str, ...], join: str = " ") -> str:
        return self._draw(lambda: join.join(self.rng.choice(words) for words in lists))

    def person(self) -> str:
        return self._words(FIRST, LAST)

    def namesakes(self) -> tuple[str, str]:
        """Two people who share a first name."""
        last_names = {first: [last for last in LAST if split_of(f"{first} {last}") == self.split] for first in FIRST}
        first = self.rng.choice([first for first, lasts in last_names.items() if len(lasts) >= 2])
        pair = [f"{first} {last}" for last in self.rng.sample(last_names[first], 2)]
        self._previous.update(pair)
        return pair[0], pair[1]

    def project(self) -> str:
        return self._words(CODENAMES, AREAS)

    def key(self) -> str:
        """A key of three capital letters, for a project or a space. It is never a word that JQL reserves."""
        return self._draw(lambda: "".join(self.rng.sample(KEY_LETTERS, 3)), exclusions=RESERVED_KEYS)

    def summary(self) -> str:
        return self._words(*SUMMARY)

    def summary_like(self, other: str) -> str:
        """A summary that shares two or three of the four words of `other`."""

        def candidate() -> str:
            words = other.split()
            for place in self.rng.sample(range(len(SUMMARY)), self.rng.choice((1, 2))):
                words[place] = self.rng.choice(SUMMARY[place])
            return " ".join(words)

        return self._draw(candidate, exclusions=(other,))

    def label(self) -> str:
        return self._words(LABEL_TOPICS, LABEL_KINDS, join="-")

    def title(self) -> str:
        return self._words(TITLE_KINDS, TITLE_TOPICS, TITLE_FORMS)

    def space(self) -> str:
        return self._words(SPACE_TOPICS, SPACE_FORMS)

    def sentence(self) -> str:
        """A sentence without its full stop, for descriptions, comments and page bodies."""
        return self._words(SUBJECTS, ACTIONS, OBJECTS, TAILS)
