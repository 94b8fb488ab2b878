"""How people ask for the moves of tickets: the frames of `ticket-transition`.

Names stand in running words where their end can be seen, otherwise in quotation marks. A text without quotation marks
has a line of its own, or ends a line.
"""

from __future__ import annotations

from envs.phrasing import Frames

KEYED = Frames(
    train=("{key}", "[the |][ticket|issue] {key}"),
    heldout=("the {key} [ticket|issue]",),
)
SUMMARISED = Frames(
    train=(
        'the [ticket|issue] "{summary}" [of|in] [the project |]{project}',
        'the {project} [ticket|issue] "{summary}"',
        '"{summary}" [of|in] [the project |]{project}',
        'the [ticket|issue] [called|with the summary] "{summary}" [of|in] [the project |]{project}',
    ),
    heldout=(
        'the [ticket|issue] of [the project |]{project} [called|with the summary] "{summary}"',
        '"{summary}", [a ticket|an issue] [of|in] [the project |]{project},',
    ),
)
"""An issue by its summary, before a word that goes on with the sentence."""
INTRODUCED = Frames(
    train=(
        'there is [a ticket|an issue] ["{summary}"|called "{summary}"] in [the project |]{project}.',
        "there is [a ticket|an issue] in [the project |]{project} called {summary}.",
        '[please |][look at|look for] [a|the] ticket of [the project |]{project}: "{summary}".',
        "this is about [a ticket|an issue] of [the project |]{project} with the summary {summary}.",
        "[the ticket|this] is in [the project |]{project}:\n{summary}\n",
    ),
    heldout=(
        "in [the project |]{project} there is [a ticket|an issue] [called|with the summary] {summary}.",
        'look at [the project |]{project}: there is [a ticket|an issue] called "{summary}".',
        "in [the project |]{project}, look for this ticket:\n{summary}\n",
    ),
)
"""An issue by its summary in a sentence of its own. The next sentence says "it"."""
INTRODUCED_KEY = Frames(
    train=("this is about [the ticket |the issue |]{key}.", "[please |]look at [the ticket |the issue |]{key}."),
    heldout=("there is [a ticket|an issue], {key}.", "look for {key}, please."),
)

COMMANDS = Frames(
    train=(
        "[please |][move|set|change|take] {issue} to {status}{extras}.",
        "[please |][set|change] the status of {issue} to {status}{extras}.",
        "[please |]put {issue} [into|in] {status}{extras}.",
        "[can|could] you [please |][move|take|change] {issue} to {status}{extras}?",
        "[can|could] you [please |][set|change] the status of {issue} to {status}{extras}?",
        "would you move {issue} to {status}{extras}, please?",
        "[please |]see that {issue} is in {status}{extras}.",
    ),
    heldout=(
        "would you please put {issue} into {status}{extras}?",
        "could {issue} go to {status} [now|today]{extras}, please?",
        "for {issue}, please change the status to {status}{extras}.",
    ),
)
STATEMENTS = Frames(
    train=(
        "{issue} [should|must|has to|needs to] [be in|go to|go into|move to] {status}{extras}.",
        "the status of {issue} [should|must|has to|needs to] be {status}{extras}.",
        "I [need|want|would like] {issue} in {status}{extras}.",
        "we [need|want|would like] {issue} to be in {status}{extras}.",
        "{status} [is|would be] the right status for {issue} now{extras}.",
    ),
    heldout=(
        "the status that {issue} [needs|should have] is {status}{extras}.",
        "I would like the status of {issue} to be {status}{extras}.",
        "{issue} is not in {status}. please put it there{extras}.",
        "{status} is what {issue} should be in{extras}.",
    ),
)
POINTED = Frames(
    train=(
        "[please |][move|take|set] {issue} to {status}{extras}.",
        "[please |]put {issue} [into|in] {status}{extras}.",
        "[can|could] you [please |][move|take] {issue} to {status}{extras}?",
        "would you move {issue} to {status}{extras}, please?",
        "{issue} [should|must|has to|needs to] [go to|go into|move to|be in] {status}{extras}.",
        "I [need|want|would like] {issue} in {status}{extras}.",
    ),
    heldout=(
        "would you please put {issue} into {status}{extras}?",
        "could {issue} go to {status} [now|today]{extras}, please?",
        "for {issue}, we need {status}{extras}.",
    ),
)
"""A move of what another sentence names."""
NOUNS = {
    "ticket": ("ticket", "issue", "ticket to move", "issue to move"),
    "project": ("project",),
    "status": ("new status", "status to set"),
    "resolution": ("new resolution", "resolution to set"),
}
THAT = {
    "ticket": Frames(train=("that [ticket|issue]",), heldout=("this [ticket|issue]",)),
    "project": Frames(train=("that project",), heldout=("this project",)),
    "status": Frames(train=("that status",), heldout=("this status",)),
    "resolution": Frames(train=("that resolution",), heldout=("this resolution",)),
}
"""What a sentence before has named."""
SOME = {
    "ticket": Frames(train=("a ticket", "an issue"), heldout=("one ticket", "one issue")),
    "project": Frames(train=("a project",), heldout=("one project",)),
    "status": Frames(train=("a new status",), heldout=("one new status",)),
    "resolution": Frames(train=("a resolution",), heldout=("one resolution",)),
}
"""What a later sentence names."""
OF_PROJECT = Frames(train=(" of {project}",), heldout=(" in {project}",))
WITH_RESOLUTION = Frames(
    train=(" with [the |]resolution {resolution}", ", resolution {resolution}", " (resolution: {resolution})"),
    heldout=(" with {resolution} as [the |its ]resolution",),
)
WITH_COMMENT = Frames(
    train=(' with the comment "{text}"', ' with [this|the following] comment: "{text}"', ' (comment: "{text}")'),
    heldout=(' with "{text}" as [the|a] comment',),
)
WITH_BOTH = Frames(
    train=(
        ' with the resolution {resolution} and the comment "{text}"',
        ' with the comment "{text}" and [the |]resolution {resolution}',
    ),
    heldout=(' with {resolution} as its resolution and "{text}" as a comment',),
)
RESOLUTION = Frames(
    train=(
        "the resolution [is|must be|should be] {resolution}.",
        "[please |]set the resolution to {resolution}.",
        "[please |]use {resolution} as [the|its] resolution.",
        "it [should have|needs|gets] the resolution {resolution}.",
    ),
    heldout=("{resolution} is the right resolution.", "for the resolution, use {resolution}."),
)
COMMENT = Frames(
    train=(
        '[please |][also |][add|leave] the comment "{text}".',
        '[please |]comment on it: "{text}".',
        'it [also |][should have|needs|gets] the comment "{text}".',
        "[please |][also |]add [this|the following] comment:\n{text}\n",
        "[please |]leave [this|the following] comment on it:\n{text}\n",
        "the comment [is|should be]:\n{text}\n",
    ),
    heldout=(
        '"{text}" should be the comment.',
        'for the comment, please use "{text}".',
        "also, this comment is needed:\n{text}\n",
    ),
)
REASONS = Frames(
    train=(
        "we talked about it [today|in the meeting|in the review].",
        "somebody asked for [it|this] [today|again].",
        "the board [has to|should] be right before the [meeting|audit].",
        "this is needed before the [release|review|audit].",
        "for the [release|audit], this [must|has to] be right.",
    ),
    heldout=("somebody talked about this in the [release|audit] meeting.", "we need it before the meeting today."),
)
NOT_THERE = Frames(
    train=(
        "{other} [would be wrong|would be too early|is not what we want].",
        "I said {other} before, but that was wrong.",
        "[do not use|not] {other}, [please|as that would be wrong].",
        "what we do not want is {other}.",
        "somebody wanted {other}, which [is|would be] wrong.",
        "we talked about {other}, but [not now|that was too early].",
    ),
    heldout=(
        "I wanted {other}, but that was before the meeting.",
        "what would be wrong is {other}.",
        "{other} was what somebody said, but that is not what I need.",
    ),
)
"""A status that is not the one."""
OTHER_TICKET = Frames(
    train=(
        "{key} [is in|stays in] {other}, [please leave it there|do not touch it].",
        "[please |]do not [touch|change|move] {key}, which [can stay|stays] in {other}.",
        "[leave {key} as it is|nothing has to change on {key}], {other} is right [for that one|there].",
        "somebody has [moved|taken] {key} to {other} already.",
    ),
    heldout=(
        "leave {key} there: somebody has moved it to {other} already.",
        "for {key}, {other} is right: please do not change that one.",
    ),
)
"""Another ticket, which nobody is to touch."""
HEARSAY = Frames(
    train=(
        '[somebody|one of us] told me: "{text}".',
        'the last mail said "{text}", so it is time.',
        'in the meeting I heard: "{text}".',
        '"{text}" is what I heard, but do not write that there.',
    ),
    heldout=('"{text}" is what the last mail said.', 'I heard in the meeting that "{text}", so it is time.'),
)
"""A text that is no comment."""
NOT_AS = Frames(
    train=("{other} would be the wrong resolution.", "the resolution is not {other}.", "do not resolve it as {other}."),
    heldout=("{other} is wrong as the resolution.", "what would be wrong as the resolution is {other}."),
)
NOW = Frames(
    train=(
        "{issue} is [still |]in {other}.",
        "{issue} [has been|was] in {other} [for a week|since the meeting].",
        "[somebody|the team] has moved {issue} to {other}.",
        "the status of {issue} is {other} [now|today].",
    ),
    heldout=(
        "{other} is still the status of {issue}.",
        "{issue} is in {other} now.",
        "{issue} has been in {other} today.",
    ),
)
"""The status that a ticket has."""
HEADINGS = Frames(
    train=(
        "[please |][change|move] [this|the following] [ticket|issue]:",
        "a change for the board:",
        "[could|can] you make this change[, please|]?",
    ),
    heldout=("this [ticket|issue], please:", "a ticket of the board, please change it:"),
)
LINES = Frames(
    train=("[Status|New status|Move to|To]: {status}",),
    heldout=("[Change to|New status to set]: {status}",),
)
"""Lines of a form. Requests on several lines name everything without quotation marks."""
KEY_LINES = Frames(train=("[Ticket|Issue|Key]: {key}",), heldout=("[Move|Change]: {key}",))
PROJECT_LINES = Frames(train=("[Project|In]: {project}",), heldout=("[The project|In the project]: {project}",))
SUMMARY_LINES = Frames(train=("[Ticket|Issue|Summary]: {summary}",), heldout=("[The ticket|Move]: {summary}",))
RESOLUTION_LINES = Frames(
    train=("[Resolution|Resolution to set]: {resolution}",), heldout=("[New resolution|With resolution]: {resolution}",)
)
COMMENT_LINES = Frames(train=("[Comment|Comment to add|With]: {text}",), heldout=("[New comment|Add]: {text}",))

UNASSIGNED = Frames(
    train=(
        "if nobody has {issue}, [assign it|give it] to [whoever reported it|its reporter]. "
        "[In any case|Either way], [please |][move|take] it to {status}.",
        "[please |][move|take] {issue} to {status}. If [nobody has it|it has no assignee], [also |]"
        "[assign|give] it to [whoever reported it|its reporter].",
        "{issue} [should|must|has to] go to {status}. It [also |]needs an assignee: if [nobody has it|it has none], "
        "take [whoever reported it|its reporter].",
        "[move|set] {issue} to {status}, and if it has no assignee, assign it to [whoever reported it|its reporter].",
    ),
    heldout=(
        "in any case {issue} should be in {status}, and whoever reported it [gets|has to take] it if nobody has it.",
        "look if {issue} has an assignee. If it has none, give it to its reporter. Move it to {status} in any case.",
    ),
)
BRANCHES = Frames(
    train=(
        "[please |][move|take] {issue} to {first} if {condition}, otherwise to {second}.",
        "[please |]look at {issue}: if {condition}, move it to {first}, [otherwise|if not,] to {second}.",
        "{issue} [should|has to|must] be in {first} if {condition}, and in {second} [if not|otherwise].",
        "[please |]look at {issue}. If {condition}, it [should|has to] go to {first}. "
        "[If not|Otherwise], it [should|has to] go to {second}.",
        "{issue} is to move: to {first} if {condition}, to {second} if not.",
    ),
    heldout=(
        "move {issue} to {second}, but if {condition}, to {first}.",
        "for {issue} the right status is {second}, but {first} if {condition}. Please set it.",
        "would you look at {issue}? {first} is what it needs if {condition}, and {second} if not.",
    ),
)
ELSE_COMMENT = Frames(
    train=(
        "[please |][move|take] {issue} to {first} if {condition}. "
        '[Otherwise|If not], [only |]add the comment "{text}".',
        '[please |]look at {issue}: if {condition}, move it to {first}, otherwise only add the comment "{text}".',
        "{issue} [should|must|has to] go to {first}, but only if {condition}. "
        "[Otherwise|If not], only leave this comment:\n{text}\n",
    ),
    heldout=(
        'only leave the comment "{text}" on {issue}, but if {condition}, move it to {first} and add none.',
        "would you look at {issue}? If {condition}, take it to {first}. If not, this comment is needed:\n{text}\n",
    ),
)
CONDITIONS = {
    "parent": Frames(
        train=(
            "its parent [is in|is in the status] {value}",
            "its parent has the status {value}",
            "the status of its parent is {value}",
        ),
        heldout=("{value} is the status of its parent",),
    ),
    "priority": Frames(
        train=("its priority is {value}", "it has [the |]priority {value}"), heldout=("{value} is its priority",)
    ),
    "issuetype": Frames(train=("its type is {value}", "it has the type {value}"), heldout=("{value} is its type",)),
    "assignee": Frames(
        train=("it is assigned to {value}", "its assignee is {value}", "{value} has it"),
        heldout=("{value} is its assignee",),
    ),
    "reporter": Frames(train=("its reporter is {value}", "{value} reported it"), heldout=("{value} is its reporter",)),
    "labels": Frames(
        train=("it has the label {value}", "the label {value} is on it"), heldout=("{value} is on it as a label",)
    ),
    "none": Frames(train=("it has no assignee", "nobody has it"), heldout=("nobody is its assignee",)),
}
"""What a request can make a move depend on."""

SETS = Frames(
    train=(
        "[please |][move|take] [all issues|all tickets|the issues] of [the project |]{project} that are in {source} "
        "and {property} to {status}{extras}.",
        "[please |]look for the [issues|tickets] of [the project |]{project} that are in {source} and {property}, "
        "and move [them|all of them] to {status}{extras}.",
        "[all issues|all tickets] [in|of] [the project |]{project} that {property} and are in {source} "
        "[should|must|have to|need to] go to {status}{extras}.",
        "in [the project |]{project}, there are tickets in {source} that {property}. "
        "[please |][move|take] all of them to {status}{extras}.",
        "could you move what is in {source} [in|of] [the project |]{project} to {status}{extras}? "
        "only the [issues|tickets] that {property}.",
    ),
    heldout=(
        "for all [issues|tickets] of [the project |]{project} that {property}: if they are in {source}, "
        "move them to {status}{extras}.",
        "all [issues|tickets] that are in {source} and {property} should be in {status}{extras}. "
        "look only in [the project |]{project}.",
        "there are [issues|tickets] that {property} and are in {source}. In [the project |]{project}, take all of them "
        "to {status}{extras}.",
    ),
)
MANY = {
    "assignee": Frames(
        train=("are assigned to {value}", "have the assignee {value}"), heldout=("have {value} as assignee",)
    ),
    "reporter": Frames(
        train=("were reported by {value}", "have the reporter {value}"), heldout=("have {value} as reporter",)
    ),
    "priority": Frames(train=("have [the |]priority {value}",), heldout=("have {value} as priority",)),
    "issuetype": Frames(train=("have the type {value}", "are of type {value}"), heldout=("have {value} as type",)),
    "labels": Frames(train=("have the label {value}", "have {value} as a label"), heldout=("have a label {value}",)),
    "parent": Frames(
        train=("have the parent {value}", "belong to the parent {value}"), heldout=("have {value} as parent",)
    ),
}
"""What the issues of a set share, besides their status. The next word is no part of the value."""

EXCEPT = Frames(
    train=(
        "[leave {key} as it is|do not touch {key}], though.",
        "all but {key}, which [can stay|stays] there.",
        "only {key} [stays|can stay] where it is.",
    ),
    heldout=("{key} is the one that stays there.", "{key} can stay as it is, though."),
)
"""An issue of a set that stays."""
TWINS = Frames(
    train=(
        '[there are|we have] two [tickets|issues] [called |]"{summary}" in [the project |]{project}. '
        "[please |][move|take] the one that {property} to {status}{extras}.",
        'there are two [tickets|issues] called "{summary}" in [the project |]{project}. '
        "the one that {property} [should|must|has to|needs to] go to {status}{extras}.",
        "two [tickets|issues] of [the project |]{project} have the summary {summary}. "
        "[please |][move|take] only the one that {property} to {status}{extras}.",
        '[move|take] "{summary}" of [the project |]{project} to {status}{extras}. there are two of them: '
        "I need the one that {property}.",
    ),
    heldout=(
        'in [the project |]{project}, of the two [tickets|issues] called "{summary}", I need the one that {property} '
        "in {status}{extras}.",
        "in [the project |]{project}, two [tickets|issues] are called {summary}. only one of them {property}: "
        "please move it to {status}{extras}.",
    ),
)
ONE = {
    "assignee": Frames(
        train=("is assigned to {value}", "has the assignee {value}"), heldout=("has {value} as assignee",)
    ),
    "none": Frames(train=("has no assignee", "is not assigned"), heldout=("has nobody as assignee",)),
    "priority": Frames(train=("has [the |]priority {value}",), heldout=("has {value} as priority",)),
    "issuetype": Frames(train=("has the type {value}", "is of type {value}"), heldout=("has {value} as type",)),
    "labels": Frames(train=("has the label {value}", "has {value} as a label"), heldout=("has a label {value}",)),
    "status": Frames(train=("is in {value}", "has the status {value}"), heldout=("has {value} as status",)),
    "higher": Frames(
        train=("has the higher priority", "is of [the |]higher priority"), heldout=("has a priority that is higher",)
    ),
    "lower": Frames(
        train=("has the lower priority", "is of [the |]lower priority"), heldout=("has a priority that is lower",)
    ),
    "older": Frames(train=("is older", "was created first", "is the older one"), heldout=("has been created first",)),
    "newer": Frames(train=("is newer", "was created last", "is the newer one"), heldout=("has been created last",)),
}
"""What tells two issues with one summary apart."""

DIRECT = Frames(
    train=(
        "[please |][move|take] {issue} to {status} if [one move leads there|that takes one move]. "
        "[If not|Otherwise], [say|tell me] that you cannot.",
        "{issue} [should|must|has to] go to {status} in one move. If it [needs|takes] more, "
        "leave it and [say|tell me] that you cannot.",
        "can {issue} go to {status} in one move? If it can, move it. If not, [say|tell me] that you cannot.",
    ),
    heldout=(
        "if one move leads {issue} to {status}, move it. if it needs more, say that you cannot.",
        "take {issue} to {status}, but say that you cannot if one move is not what it takes.",
    ),
)
CHECKS = Frames(
    train=(
        "[please |]look at {issue}: it [should|must|has to] be in {status} with the resolution {resolution}. "
        "[please |][change|mend] what is not right.",
        "somebody may have closed {issue} with the wrong resolution. "
        "it [should|must|has to] be in {status} with the resolution {resolution}.",
        "{issue} [should|must|has to] end in {status}, and the resolution [must|has to] be {resolution}, "
        "also if [somebody|the team] has closed it with another one.",
    ),
    heldout=(
        "the right status of {issue} is {status}, the right resolution is {resolution}. please mend what is wrong.",
        "look if {issue} is right: {status}, with {resolution} as its resolution. If it is not, mend it.",
    ),
)
PAIRS = Frames(
    train=(
        "{one} and {two} [should|must|have to|need to] [both |]be in {status}. "
        "[one of them is there already|please look which one is not].",
        "[please |]look at {one} and {two}: [both|they] [should|must|have to] be in {status}.",
        "[please |][move|take] {one} and {two} to {status}. One of them is there already.",
        "we need {one} in {status}, and {two} too. [please |]look which one is not there.",
    ),
    heldout=(
        "{one} and {two} are not both in {status}, and they should be. please move the one that is not.",
        "one of {one} and {two} is not in {status}. please move it there.",
    ),
)
HALVES = Frames(
    train=(
        '{issue} [should|must|has to] be in {status} with the comment "{text}". '
        "somebody may have done half of [it|this].",
        "[please |]look at {issue}. it [should|must|has to] be in {status} and have this comment [once|only once]:\n"
        "{text}\nadd only what is not there.",
        '[move|take] {issue} to {status} and add the comment "{text}". [please |]look first: '
        "half of this may be there already.",
    ),
    heldout=(
        'somebody may have done half of this: {issue} in {status}, with the comment "{text}". add only what is not.',
        'look first if {issue} is in {status} and has the comment "{text}". please do the half that is not there.',
    ),
)
