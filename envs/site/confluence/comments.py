"""Confluence v2: footer comments of pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envs.site.confluence.bodies import READABLE, read_body
from envs.site.confluence.errors import invalid, not_found
from envs.site.confluence.pages import SINGLE_STATUSES, existing_page
from envs.site.confluence.paging import Ordering, listing
from envs.site.confluence.parameters import body_id, choice, choices, object_body
from envs.site.confluence.render import render_comment
from envs.site.http import CONFLUENCE_V2, Request, Response, operation
from envs.site.records import FooterComment, State

CONTAINERS = ("pageId", "parentCommentId", "blogPostId", "attachmentId", "customContentId")
COMMENTS: Ordering[FooterComment] = Ordering(
    lambda comment: int(comment.id),
    {"created-date": lambda comment: comment.created, "modified-date": lambda comment: comment.created},
    "created-date",
)


@operation("createFooterComment", "POST", f"{CONFLUENCE_V2}/footer-comments")
def create_footer_comment(state: State, request: Request) -> Response:
    """Adds a comment to a page (`pageId`) or an answer to a comment (`parentCommentId`)."""
    data = object_body(request)
    page_id, parent_id = _container(state, data)
    if data.get("body") is None:
        raise invalid("'body' must be provided.")
    body = read_body(data["body"])
    if not body.value.strip():
        raise invalid("The body of a comment must not be empty.")
    now = state.tick()
    comment = FooterComment(
        id=state.new_id(),
        page_id=page_id,
        parent_comment_id=parent_id,
        body=body.value,
        representation=body.representation,
        author=state.current_user,
        created=now,
    )
    state.footer_comments[comment.id] = comment
    rendering = render_comment(state, comment, body.representation)
    return Response(201, rendering, {"location": f"{CONFLUENCE_V2}/footer-comments/{comment.id}"})


def _container(state: State, data: Mapping[str, Any]) -> tuple[str, str | None]:
    """(page id, id of the parent comment). The site has no blog posts, attachments or custom content."""
    containers = {name: id for name in CONTAINERS if (id := body_id(data, name)) is not None}
    if len(containers) != 1:
        raise invalid(f"Exactly one of {', '.join(CONTAINERS)} must be provided.")
    ((name, id),) = containers.items()
    if name == "parentCommentId" and id in state.footer_comments:
        page_id, parent_id = state.footer_comments[id].page_id, id
    elif name == "pageId":
        page_id, parent_id = id, None
    else:
        raise not_found(f"No content for {name} {id}.")
    if page_id not in state.pages or state.pages[page_id].status == "trashed":
        raise not_found(f"No page with id {page_id}.")
    return page_id, parent_id


@operation("getPageFooterComments", "GET", f"{CONFLUENCE_V2}/pages/{{id}}/footer-comments")
def get_page_footer_comments(state: State, request: Request) -> Response:
    """The comments on a page, without their answers."""
    page = existing_page(state, request)
    body_format = choice(request, "body-format", READABLE)
    statuses = choices(request, "status", SINGLE_STATUSES) or {"current"}
    comments = [
        comment
        for comment in state.footer_comments.values()
        if comment.page_id == page.id and comment.parent_comment_id is None and "current" in statuses
    ]
    path = f"{CONFLUENCE_V2}/pages/{page.id}/footer-comments"
    return listing(request, path, comments, COMMENTS, lambda comment: render_comment(state, comment, body_format))
