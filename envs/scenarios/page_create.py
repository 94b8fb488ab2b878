"""`page-create`: create a Confluence page in a space, under the homepage or under a parent that is named by its title.

Difficulty 1 names the space's key, the title and the body; the page goes under the homepage. 2 adds a parent. 3 names
the space by its name, and the parent's title exists in another space too; some bodies have two lines, and some requests
are lists of fields. At 2 and 3, most requests name two candidates for the space, the title or the parent, mostly for
two of these, and say which is meant. 4 is one of these:

- a choice by a second property: the space that has a certain page, or that one of two pages that is under a third one;
- the parent depends on whether a page exists, or has children;
- the page may exist already, with a wrong body or parent that has to be mended;
- the space or the parent does not exist, or the title may be taken. Then nothing can be created.

The goal's member `way` is for the demonstrator alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import envs.scenarios.page_create_frames as frames
from envs.phrasing import Frames
from envs.scenarios.decoys import decoy, is_asked
from envs.scenarios.drafting import AtlassianScenario, Draft
from envs.scenarios.page_create_oracle import demonstrate, storage_body
from envs.site.http import CONFLUENCE_V2
from envs.site.records import Page, Space
from rewards import page_create

WRONG = (("space", "title"), ("space", "title"), ("space", "parent"), ("title", "parent"), ("space", "title", "parent"))
"""What a request may name two candidates for."""
FOLDED, FORM, REASONED, LINES, ABSENT = 0.4, 0.25, 0.15, 0.3, 0.1
"""The shares of requests with the parent in the first sentence, as a list of fields (from difficulty 3 on), with a
reason, with the body on a line of its own, and of first sentences that say that the page does not exist."""


@dataclass
class Wish:
    """The page that a request asks for, as far as it has been drawn."""

    draft: Draft
    space: Space
    title: str
    lines: list[str]
    """The body."""
    by_name: bool = False
    """Whether the request names the space by its name."""
    parent: Page | None = None
    """None is the homepage."""
    known_by: str = ""
    """The title of the page by which the request identifies the space."""
    way: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    """What the request names beside the right space, title or parent, and says that it is not meant."""

    @property
    def space_phrase(self) -> str:
        draft = self.draft
        if self.known_by:
            return draft.part(frames.SPACE_WITH, page=draft.named(self.known_by))
        if self.by_name:
            return draft.part(frames.SPACE_NAME, name=draft.named(self.space.name))
        return draft.part(frames.SPACE_KEY, key=self.space.key)

    @property
    def lookups(self) -> list[list[str]]:
        return [[self.space.id], *([[self.parent.id]] if self.parent else [])]

    def goal(self) -> dict[str, Any]:
        """The goal of a request that can be met by creating a page."""
        parent = self.parent.id if self.parent else self.space.homepage_id
        page = {"space": self.space.id, "parent": parent, "title": self.title, "body": "\n".join(self.lines)}
        return {"create": {"page": page}, "lookups": self.lookups, "way": self.whole_way}

    @property
    def whole_way(self) -> dict[str, Any]:
        """What the demonstrator gets: how the request identifies the space, and what the kind of task adds."""
        if self.known_by:
            return {"space": {"page": self.known_by}, **self.way}
        space = {"name": self.space.name} if self.by_name else {"key": self.space.key}
        return {"space": space, **self.way}


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    while True:
        draft.wording.clear()
        try:
            if draft.difficulty < 4:
                return _plain(draft)
            return draft.rng.choice((_choice, _condition, _half_made, _impossible))(draft)
        except IndexError:
            pass  # The site lacks something that the task needs.


def _plain(draft: Draft) -> tuple[str, dict[str, Any]]:
    wish = _wish(draft)
    if draft.difficulty > 1:
        wish.parent = _parent(wish)
    if is_asked(draft):
        for name in draft.rng.choice(WRONG):
            wish.wrong[name] = _candidate(wish, name)
    return _lines(draft.request(*_say(wish))), wish.goal()


def _candidate(wish: Wish, name: str) -> str:
    """Another space, title or parent than the wish's: a space with a page of the parent's title, if there is one."""
    draft, pages, parent = wish.draft, wish.draft.state.pages.values(), wish.parent
    if name == "title":
        return draft.new_name(draft.names.title, {page.title for page in pages})
    title = parent.title if parent else ""
    if name == "parent":
        return draft.rng.choice(_pages(wish, lambda page: page.title != title)).title
    spaces = [space for space in draft.state.spaces.values() if space.id != wish.space.id]
    alike = [space for space in spaces if any(page.space_id == space.id and page.title == title for page in pages)]
    space = draft.rng.choice(alike or spaces)
    return space.name if wish.by_name else space.key


def _wish(draft: Draft) -> Wish:
    rng, state, difficulty = draft.rng, draft.state, draft.difficulty
    space = state.spaces[rng.choice(sorted(state.spaces))]
    title = draft.new_name(draft.names.title, {page.title for page in state.pages.values()})
    lines = [draft.names.sentence() for _ in range(1 + (difficulty == 3 and rng.random() < 0.3))]
    return Wish(draft, space, title, lines, difficulty == 3 or (difficulty == 4 and rng.random() < 0.3))


def _pages(wish: Wish, condition: Callable[[Page], bool] = lambda _: True) -> list[Page]:
    """The pages of the wish's space below the homepage that meet a condition."""
    pages = wish.draft.state.pages.values()
    return [page for page in pages if page.space_id == wish.space.id and page.parent_id and condition(page)]


def _parent(wish: Wish) -> Page:
    """A page of the space; from difficulty 3 on one whose title exists in another space, if there is one."""
    pages = _pages(wish)
    repeated = [page for page in pages if _is_repeated(wish.draft, page)] if wish.draft.difficulty > 2 else []
    return wish.draft.rng.choice(repeated or pages)


def _is_repeated(draft: Draft, page: Page) -> bool:
    return sum(other.title == page.title for other in draft.state.pages.values()) > 1


# Kinds of difficulty 4
def _choice(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The space or the parent is chosen by a second property."""
    wish, rng = _wish(draft), draft.rng
    if rng.random() < 0.5:
        known = rng.choice(_pages(wish, lambda page: not _is_repeated(draft, page)))
        wish.known_by, wish.by_name = known.title, False
        if rng.random() < 0.6:
            wish.parent = _parent(wish)
        return _lines(draft.request(*_say(wish))), wish.goal()
    wish.parent = rng.choice(_pages(wish, lambda page: page.parent_id != wish.space.homepage_id))
    top = draft.state.pages[wish.parent.parent_id or ""]
    other = rng.choice(_pages(wish, lambda page: page.parent_id != top.id and page.id != top.id))
    wish.way = {"top": top.title}
    one, two = (draft.named(page.title) for page in rng.sample((wish.parent, other), 2))
    sentence = draft.phrase(frames.WHICHEVER, one=one, two=two, top=draft.named(top.title))
    return _lines(draft.request(*_say(wish, sentence))), wish.goal()


def _condition(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The parent depends on whether a page exists, or on whether it has children."""
    wish, rng, state = _wish(draft), draft.rng, draft.state
    about, holds = rng.choice(("page", "children")), rng.random() < 0.5
    parents = {page.parent_id for page in state.pages.values()}
    if about == "children":
        page = rng.choice(_pages(wish, lambda page: (page.id in parents) == holds))
    elif holds:
        page = _parent(wish)
    else:
        titles = {page.title for page in _pages(wish)}
        page = rng.choice([p for p in state.pages.values() if p.parent_id and p.title not in titles])
    wish.way = {"if": about, "page": page.title, "holds": holds}
    other = rng.choice(_pages(wish, lambda candidate: candidate.title != page.title))
    otherwise = draft.part(frames.UNDER_HOMEPAGE)
    if rng.random() < 0.5:
        wish.way["otherwise"] = other.title
        otherwise = draft.part(frames.UNDER_PAGE, parent=draft.named(other.title))
    wish.parent = page if holds else other if "otherwise" in wish.way else None
    kind = frames.IF_PAGE if about == "page" else frames.IF_CHILDREN
    sentence = draft.phrase(kind, page=draft.named(page.title), otherwise=otherwise)
    return _lines(draft.request(*_say(wish, sentence))), wish.goal()


def _half_made(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The page may exist already; then its body or its parent has to be mended, otherwise it has to be created."""
    wish, rng = _wish(draft), draft.rng
    parent = rng.choice(_pages(wish))
    others = [wish.space.homepage_id, *(page.id for page in _pages(wish, lambda page: page.id != parent.id))]
    if rng.random() < 0.6:
        wish.parent = parent
    exists = rng.random() < 0.5
    wrong = "parent" if wish.parent and rng.random() < 0.4 else "body"
    wish.way = {"ensure": True}
    opening = frames.MAKE_SURE_UNDER if wish.parent else frames.MAKE_SURE
    request = _lines(draft.request(*_say(wish, draft.phrase(frames.MEND), opening=opening)))
    goal = wish.goal()
    if not exists:
        return request, goal
    wanted = goal.pop("create")["page"]
    text = wanted["body"] if wrong == "parent" else draft.names.sentence()
    place = rng.choice(others) if wrong == "parent" else wanted["parent"]
    page_id = _write_page(wish, text, place)
    goal["pages"] = [{"id": page_id, "target": {wrong: wanted[wrong]}}]
    goal["lookups"] = [[wish.space.id], [page_id], *([[wanted["parent"]]] if wrong == "parent" else [])]
    return request, goal


def _write_page(wish: Wish, text: str, parent_id: str) -> str:
    """Creates a page with the wish's title, in some tasks in two versions, and returns its id."""
    draft = wish.draft
    texts = [text] if draft.rng.random() < 0.5 else [draft.names.sentence(), text]
    page = {"title": wish.title, "parentId": parent_id, "status": "current"}
    body = {"spaceId": wish.space.id, "body": storage_body(texts[:1]), **page}
    id = str(draft.write("POST", f"{CONFLUENCE_V2}/pages", body)["id"])
    if len(texts) > 1:
        update = {"id": id, "body": storage_body(texts[1:]), "version": {"number": 2}, **page}
        draft.write("PUT", f"{CONFLUENCE_V2}/pages/{id}", update)
    return id


def _impossible(draft: Draft) -> tuple[str, dict[str, Any]]:
    """The space or the parent does not exist, or the title may be taken."""
    wish, rng, state = _wish(draft), draft.rng, draft.state
    missing = rng.choice(("space", "parent", "title"))
    extra = []
    if missing == "space":
        name = draft.names.space() if wish.by_name else draft.names.key()
        if any(name in (space.name, space.key) for space in state.spaces.values()):
            raise IndexError
        wish.parent = _parent(wish) if rng.random() < 0.5 else None
        wish.space = Space("", name, name, "", "", 0)
    elif missing == "parent":
        titles = {page.title for page in _pages(wish)}
        others = [page for page in state.pages.values() if page.parent_id and page.title not in titles]
        name = draft.new_name(draft.names.title, {page.title for page in state.pages.values()})
        wish.parent = rng.choice(others)
        if rng.random() < 0.5:
            wish.parent = Page("", wish.space.id, None, name, "", "", 0, 0, ())
        name = wish.parent.title
    else:
        taken = rng.random() < 0.6
        others = [page for page in state.pages.values() if page.parent_id and page.space_id != wish.space.id]
        titles = {page.title for page in _pages(wish)}
        if taken:
            wish.title = rng.choice(sorted(titles))
        elif rng.random() < 0.5:
            wish.title = rng.choice([page.title for page in others if page.title not in titles])
        parents = _pages(wish, lambda page: page.title != wish.title)
        wish.parent = rng.choice(parents) if rng.random() < 0.5 else None
        extra = [draft.phrase(frames.TAKEN)]
        wish.way = {"look_first": True}
        name = wish.title
        if not taken:
            return _lines(draft.request(*_say(wish, *extra))), wish.goal()
    request = _lines(draft.request(*_say(wish, *extra)))
    wish.way |= {"missing": missing, "name": name}
    return request, {"impossible": True, "lookups": [], "way": wish.whole_way}


# The request
def _say(wish: Wish, *extra: str, opening: Frames | None = None) -> list[str]:
    """The sentences of the request; `extra` are those of difficulty 4, which say the parent if `opening` does not."""
    draft, rng = wish.draft, wish.draft.rng
    parent = None if wish.parent is None or wish.way.keys() & {"top", "if"} else wish.parent.title
    before, after = _decoys(wish, parent or "")
    if opening is None and not wish.known_by and draft.difficulty > 2 and rng.random() < FORM:
        return [*before.values(), _form(wish, parent), *after.values(), *extra]
    slots = {} if wish.wrong else {"space": wish.space_phrase, "title": wish.title}
    if wish.wrong:
        sentences = [draft.phrase(frames.OPENING_BARE, where=_where(wish, "space" in before))]
    elif opening is not None or (parent and rng.random() < FOLDED):
        under = {"parent": draft.named(parent)} if parent else {}
        sentences = [_sentence(draft, opening or frames.OPENING_UNDER, **slots, **under)]
        parent = None
    else:
        absent = rng.random() < ABSENT and not wish.known_by and "look_first" not in wish.way
        sentences = [_sentence(draft, frames.OPENING_ABSENT if absent else frames.OPENING, **slots)]
    if rng.random() < REASONED:
        sentences.append(draft.phrase(frames.REASON))
    details = [_body_sentence(wish)]
    if wish.wrong and "title" not in wish.wrong:
        details.append(draft.phrase(frames.TITLE, title=draft.named(wish.title)))
    if parent and "parent" not in wish.wrong:
        details.append(draft.phrase(frames.UNDER, parent=draft.named(parent)))
    elif wish.parent is None and not extra and rng.random() < 0.3:
        details.append(draft.phrase(frames.HOMEPAGE))
    rng.shuffle(details)
    return [*before.values(), *sentences, *details, *after.values(), *extra]


def _decoys(wish: Wish, parent: str) -> tuple[dict[str, str], dict[str, str]]:
    """The sentences before and after the first one that say which of two names is meant. Notes what they say."""
    draft, sentences = wish.draft, (dict[str, str](), dict[str, str]())
    right = {"space": wish.space.name if wish.by_name else wish.space.key, "title": wish.title, "parent": parent}
    for name in draft.rng.sample(sorted(wish.wrong), len(wish.wrong)):
        both = [draft.named(text) if " " in text else text for text in (right[name], wish.wrong[name])]
        draft.rng.choice(sentences)[name] = decoy(draft, name, *both)
    if wish.wrong:
        wish.way |= {"chosen": {name: right[name] for name in wish.wrong}, "avoid": wish.wrong}
    return sentences


def _where(wish: Wish, before: bool) -> str:
    """Where the page should be, in a first sentence that may leave this to another one."""
    if "space" not in wish.wrong:
        return f" in {wish.space_phrase}"
    if wish.draft.rng.random() < 0.5:
        return ""
    return wish.draft.part(frames.SPACE_BEFORE if before else frames.SPACE_AFTER)


def _body_sentence(wish: Wish) -> str:
    draft = wish.draft
    if len(wish.lines) > 1 or draft.rng.random() < LINES:
        return _sentence(draft, frames.BODY_LINES, text="\n".join(wish.lines))
    return draft.phrase(frames.BODY, text=wish.lines[0])


def _form(wish: Wish, parent: str | None) -> str:
    """The request as a list of fields, one a line. A body of two lines comes last, below its name."""
    draft = wish.draft
    values = {"Space": wish.space.name if wish.by_name else wish.space.key, "Title": wish.title}
    if parent:
        values["Parent"] = parent
    values = {key: value for key, value in values.items() if key.lower() not in wish.wrong}
    if len(wish.lines) == 1:
        values["Body"] = wish.lines[0]
    keys = list(values)
    draft.rng.shuffle(keys)
    intro = draft.phrase(frames.FORM_INTRO)
    line = draft.part(frames.FORM_LINE, key="{key}", value="{value}")
    draft.wording.append(" ".join(keys))
    texts = [intro, *(line.format(key=key, value=values[key]) for key in keys)]
    if len(wish.lines) > 1:
        texts += ["Body:", *wish.lines]
    return "\n".join(texts) + "\n\n"


def _sentence(draft: Draft, kind: Frames, **slots: str) -> str:
    """A sentence. An empty line ends a text on lines of its own."""
    sentence = draft.phrase(kind, **slots)
    return sentence + "\n\n" if "\n" in sentence else sentence


def _lines(request: str) -> str:
    """The request without spaces at line breaks."""
    return re.sub(r" ?\n ?", "\n", request).strip()


SCENARIO = AtlassianScenario(
    name="page-create",
    tools=(
        "createPage",
        "updatePage",
        "getSpaces",
        "getSpaceById",
        "getPages",
        "getPagesInSpace",
        "getPageById",
        "getChildPages",
        "createFooterComment",
        "addLabelsToContent",
        "deletePage",
    ),
    draft=draft,
    check=page_create.check,
    demonstrate=demonstrate,
)
