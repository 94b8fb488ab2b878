"""`page-create`: create a Confluence page in a space named by key or name, under a parent named by title.

Difficulty 1 names the space's key and no parent, so the homepage is the parent. 2 adds a parent. 3 names the space by
its name instead of its key.
"""

from __future__ import annotations

from typing import Any

from envs.episode import Task
from envs.scenarios.drafting import AtlassianScenario, Demonstration, Draft, act, quotation
from rewards import page_create

OPENING = (
    'Create a page called "{title}" in {space}{under}.',
    'Please create a page with the title "{title}" in {space}{under}.',
    'We need a new page called "{title}" in {space}{under}.',
    'In {space}, create a page with the title "{title}"{under}.',
    'Please add a page called "{title}" to {space}{under}.',
    'Could you please create a page called "{title}" in {space}{under}?',
    'In {space}, please create a new page called "{title}"{under}.',
)
BODY = (
    'Its body is "{text}".',
    'It says "{text}".',
    'Use the body "{text}".',
    'Also use the body "{text}".',
    'Please use the body "{text}".',
)


def draft(draft: Draft) -> tuple[str, dict[str, Any]]:
    rng, state = draft.rng, draft.state
    space = state.spaces[rng.choice(sorted(state.spaces))]
    pages = [page for page in state.pages.values() if page.space_id == space.id]
    parent = state.pages[space.homepage_id]
    under = ""
    if draft.difficulty > 1:
        parent = rng.choice([page for page in pages if page.id != space.homepage_id])
        under = f' under the page "{parent.title}"'
    title = draft.new_name(draft.names.title, {page.title for page in state.pages.values()})
    body = draft.names.sentence()
    space_phrase = f'the space "{space.name}"' if draft.difficulty == 3 else f"the space {space.key}"
    request = draft.phrase(OPENING, title=title, space=space_phrase, under=under) + " " + draft.phrase(BODY, text=body)
    goal = {
        "space": {"id": space.id, "key": space.key},
        "title": title,
        "parent": {"id": parent.id, "title": parent.title, "homepage": parent.id == space.homepage_id},
        "body": body,
    }
    return request, goal


def demonstrate(task: Task) -> Demonstration:
    goal, state = task.goal, task.site().state
    space = state.spaces[goal["space"]["id"]]
    by_name = space.name in task.prompt
    (response,) = yield act("getSpaces", {} if by_name else {"keys": [space.key]})
    space_id, note = quotation(response, space.name, "id")
    page: dict[str, Any] = {"spaceId": space_id, "title": goal["title"]}
    if not goal["parent"]["homepage"]:
        (response,) = yield act("getPages", {"title": goal["parent"]["title"], "space-id": [space_id]}, note)
        page["parentId"], note = quotation(response, goal["parent"]["title"], "id")
    page["body"] = {"representation": "storage", "value": f"<p>{goal['body']}</p>"}
    yield act("createPage", page, note)


SCENARIO = AtlassianScenario(
    name="page-create",
    tools=(
        "createPage",
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
