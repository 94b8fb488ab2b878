"""The frames of `issue-create`: how people ask for an issue.

A slot in quotation marks may hold any text. Without them it stands where its end can be seen: before the end of a
sentence, or, for the names of projects and people, anywhere. "It" is the new issue in every sentence that names no
other one; sentences with another issue say "the new issue".
"""

from __future__ import annotations

from envs.phrasing import Frames

PROJECT_KEY = Frames(
    train=("[the project |]{key}", "the project with the key {key}"),
    heldout=("the {key} project",),
)
PROJECT_NAME = Frames(
    train=("[the project |]{name}", "the project called {name}"),
    heldout=("the {name} project",),
)
OPENING = Frames(
    train=(
        '[please |]create {a_type} in {project} [with the summary|called] "{summary}".',
        "[please |]create a new {type} [in|for] {project}, [with the summary|called] {summary}.",
        '[could|can] you [please |][create|add] {a_type} [in|for] {project}, called "{summary}"?',
        "[we|I] need [a new|another] {type} in {project}. [its summary is|the summary is|call it] "
        '["{summary}"|{summary}].',
        '[in|for] {project}, [please |][create|open|add] {a_type} [with the summary|called] ["{summary}"|{summary}].',
        '[please |]add {a_type} to {project}: ["{summary}"|{summary}].',
        '[please |]open {a_type} for {project} and call it ["{summary}"|{summary}].',
        '"{summary}" should be a new {type} in {project}. [please create it.|can you create it?]',
        'there is no {type} called "{summary}" in {project} yet. [so please|please] create [it|one].',
        '[I|we] would like {a_type} in {project}, [with the summary|called] ["{summary}"|{summary}].',
        "please create this {type} in {project}:\n{summary}",
    ),
    heldout=(
        'the summary is "{summary}": please create {a_type} with it in {project}.',
        '{project} [needs|should have] a new {type}. please call it ["{summary}"|{summary}].',
        'the {type} "{summary}" is not in {project} yet[. please create|, so please add|, so please create] it.',
        '[please |]use the summary "{summary}" for a new {type} that [I|we] need in {project}.',
        'for {project}, [I|we] need {a_type} and the summary should be ["{summary}"|{summary}].',
        '[I|we] would like to have "{summary}" as {a_type} in {project}.',
    ),
)
OPENING_WITH = Frames(
    train=(
        '[please |]create {a_type} [with the summary|called] "{summary}" in {project}, {with}.',
        '[please |]create {a_type} {with} in {project} and call it ["{summary}"|{summary}].',
        '[could|can] you[ please|] [create|add|open] {a_type} {with} for {project}, called "{summary}"?',
        '[we|I] need a new {type} {with} in {project}. [its summary is|call it] ["{summary}"|{summary}].',
        '[in|for] {project}, [please |]create {a_type} {with}. [its summary is|call it] ["{summary}"|{summary}].',
        '[please |]add {a_type} {with} to {project}: ["{summary}"|{summary}].',
        '"{summary}" should be a new {type} in {project}, {with}. please create it.',
    ),
    heldout=(
        '{project} [needs|should have] {a_type} {with}. please call it ["{summary}"|{summary}].',
        'the {type} "{summary}" is not in {project} yet. [please |]create it {with}.',
        'please open, {with}, {a_type} that is called "{summary}" in {project}.',
    ),
)
OPENING_BARE = Frames(
    train=(
        "[please |]create {a_type}{with}{where}.",
        "[could|can] you [please |][create|add|open] {a_type}{with}{where}?",
        "[we|I] need [a new|another] {type}{with}{where}.",
        "[we|I] would like [a new|another] {type}{with}{where}.",
        "[please |][open|add] [a new|another] {type}{with}{where}.",
        "what [we|I] need is [a new|another] {type}{with}{where}.",
        "[a new|another] {type}{with}{where}[, please|].",
        "there should be [a new|another] {type}{with}{where}. [please create it.|can you create it?]",
    ),
    heldout=(
        "[a new|another] {type}{with}{where} is what [we|I] need.",
        "[a new|another] {type}{with} should be created{where}[, please|].",
        "what should be created{where} is {a_type}{with}.",
    ),
)
"""For requests that name the project, the summary or the type in sentences of their own."""
PROJECT_BEFORE = Frames(train=(" there", " in that project"), heldout=(" in that one project",))
PROJECT_AFTER = Frames(
    train=(" in the right project", " in the project that [I mean|we need]"), heldout=(" in the project that we mean",)
)
"""How the first sentence refers to a project that another sentence before or after it names."""
MAKE_SURE = Frames(
    train=(
        '[please |]make sure that there is {a_type} called "{summary}" in {project}, {with}.',
        '[please |]make sure that {project} has {a_type} called "{summary}" {with}.',
        '[can|could] you make sure that there is {a_type} with the summary "{summary}" in {project}, {with}?',
        '[we|I] need {a_type} {with} in {project}, called ["{summary}"|{summary}].',
        'there should be {a_type} called "{summary}" in {project}, {with}.',
        'in {project}, there should be {a_type} with the summary "{summary}", {with}.',
    ),
    heldout=(
        'please make sure of this: {project} should have {a_type} {with}, called ["{summary}"|{summary}].',
        '[I|we] need to have {a_type} called "{summary}" in {project}, {with}.',
        'is there {a_type} called "{summary}" in {project}? there should be one {with}.',
    ),
)
MEND = Frames(
    train=(
        "if there is one already, change what is wrong or missing and [do not create another one|create no other one].",
        "[somebody may have created it|it may be there] already; then [only |]correct what is missing or wrong.",
        "[only |]create it if there is none, and otherwise correct the one that is there.",
        "if it is not there, create it; [if it is,|otherwise] set what is [wrong or missing|missing or wrong].",
        "[one may exist already|it may exist already], and in that case [please |]correct it.",
    ),
    heldout=(
        "only create one if there is none already, but otherwise correct it.",
        "please do not create another one if it is there, only correct what is wrong or missing then.",
        "it may be there, and what is wrong or missing in that case you should correct.",
    ),
)
ONE_LABEL = Frames(train=("the label {first}",), heldout=("the {first} label",))
TWO_LABELS = Frames(
    train=("the [two |]labels {first} and {second}",),
    heldout=("the {first} and {second} labels",),
)
ITEMS = {
    "priority": Frames(train=("[{name} priority|the priority {name}]",), heldout=("a priority of {name}",)),
    "assignee": Frames(train=("the assignee {name}", "{name} as [the |]assignee"), heldout=("{name} as its assignee",)),
}
"""Parts of "with ... and ..."."""
CLAUSES = {
    "priority": Frames(
        train=("give it {name} priority", "set [its|the] priority to {name}"), heldout=("make {name} its priority",)
    ),
    "labels": Frames(train=("add {name}", "put {name} on it"), heldout=("let it have {name}",)),
    "assignee": Frames(
        train=("assign it to {name}", "make {name} the assignee", "let {name} work on it"),
        heldout=("set the assignee to {name}",),
    ),
    "parent": Frames(train=("put it under {name}", "make {name} its parent"), heldout=("set its parent to {name}",)),
}
"""Parts of a sentence with two wishes."""
JOINED = Frames(
    train=(
        "[please |also |then ]{one} and {two}.",
        "[could|can] you[ also| please|] {one} and {two}?",
        "please {one}. [please |]also {two}.",
    ),
    heldout=("please {one}, and then {two}.", "please {one}, and [also|please] {two}."),
)
SENTENCES = {
    "summary": Frames(
        train=(
            "[please |also |]call it {name}.",
            "[its|the] summary [is|should be] {name}.",
            "[please |]use the summary {name}.",
            "it [needs|should have|should get] the summary {name}.",
            "as the summary, [please |]use {name}.",
            "can you call it {name}?",
        ),
        heldout=(
            "{name} should be its summary.",
            "[please |]use {name} as [the|its] summary.",
            "let the summary be {name}.",
        ),
    ),
    "priority": Frames(
        train=(
            "[please |also |][give it {name} priority|set [its|the] priority to {name}].",
            "[its|the] priority [is|should be] {name}.",
            "it [has|needs|should have|should get] {name} priority.",
            "the priority? {name}.",
            "[I|we] would like it to have {name} priority.",
            "make {name} its priority, please.",
            "[can you|is it possible to] set its priority to {name}?",
        ),
        heldout=(
            "{name} should be its priority.",
            "[please |]use {name} as [the|its] priority.",
            "what it needs is {name} priority.",
            "for the priority, {name} is what [I|we] would like.",
        ),
    ),
    "labels": Frames(
        train=(
            "[please |also |][add|give it] {name}.",
            "it [needs|has|should have|should get] {name}.",
            "[please |]put {name} on it.",
            "can you also add {name}?",
            "[I|we] would like it to have {name}.",
            "what it also needs: {name}.",
        ),
        heldout=(
            "{name} should be on it.",
            "let it also have {name}.",
            "[please |]use {name} for it.",
            "what [I|we] would like on it: {name}.",
        ),
    ),
    "assignee": Frames(
        train=(
            "[please |also |]assign it to {name}.",
            "[its|the] assignee [is|should be] {name}.",
            "{name} [will|should|is going to] work on it.",
            "{name} [takes|will take] care of it, so [please |]assign it to [that person|them].",
            "[please |]make {name} the assignee.",
            "[can you|is it possible to] assign it to {name}?",
            "let {name} work on it.",
            "it is for {name}, who [will|should] be the assignee.",
        ),
        heldout=(
            "it is {name} who [will|should] work on it.",
            "{name} should be the assignee.",
            "[please |]use {name} as [the|its] assignee.",
            "it should be assigned to {name}.",
        ),
    ),
    "description": Frames(
        train=(
            '[please |also |]use the description "{text}".',
            '[its|the] description [is|should be] "{text}".',
            '[please |]describe it as "{text}".',
            "[use|here is|add] this description:\n{text}",
            'it [needs|should have|should get] the description "{text}".',
            "[its|the] description [is|should be] this:\n{text}",
            'in the description, [please |]write "{text}".',
            '"{text}" is what the description should say.',
            'as the description, [please |]use "{text}".',
        ),
        heldout=(
            'let the description be "{text}".',
            "the description should say this:\n{text}",
            '"{text}" should be its description.',
            'please write "{text}" in the description.',
            "what the description should say is here:\n{text}",
        ),
    ),
    "parent": Frames(
        train=(
            "[please |also |]put it under {last}.",
            "[its|the] parent [is|should be] {last}.",
            "it belongs [to|under] {last}.",
            "[please |]make {name} its parent.",
            "it [is|should be] part of {last}.",
            "can you put it under {last}?",
            "[please |]use {name} as [the|its] parent.",
            "under {name}, please.",
            "the place where it belongs is under {name}.",
        ),
        heldout=(
            "{name} should be its parent.",
            "under {name} is where it belongs.",
            "it has a parent, {last}.",
            "what it belongs to is {last}.",
        ),
    ),
}
"""Sentences with one wish. A `{last}` ends its sentence."""
REASON = Frames(
    train=(
        "[our customers|two teams|the auditors] [keep asking|have asked] for it.",
        "it is part of the next [release|audit].",
        "[we|the auditors] need it before the [audit|release|meeting].",
        "it is what the next meeting is for.",
    ),
    heldout=(
        "the next audit is what [we|the team] need it for.",
        "two customers have asked for it before.",
    ),
)
FORM_INTRO = Frames(
    train=(
        "[please |]create [this|the following|one more] issue[ for me|]:",
        "[can|could] you create the following issue[ for me|]?",
        "[we|I] need [this|a new|the following] issue:",
        "new issue[, please|]:",
        "for a new issue, here is what [I|we] would like:",
    ),
    heldout=(
        "this is the [new |]issue that [we|I] need:",
        "here is a new issue[ for you|]. please create it:",
        "[I|we] would like to have the following issue:",
    ),
)
FORM_LINE = Frames(train=("{key}: {value}", "- {key}: {value}"), heldout=("{key} - {value}", "* {key}: {value}"))

WHO_REPORTED = Frames(
    train=(
        "[please |also |]assign it to [whoever|the person who] reported {issue}.",
        "[its|the] assignee should be the reporter of {issue}.",
        "the reporter of {issue} [should|will] work on the new issue.",
        "can you assign it to the reporter of {issue}?",
        "[please |]look up who reported {issue} and assign the new issue to that person.",
    ),
    heldout=(
        "it is for whoever reported {issue}, who should be the assignee.",
        "who reported {issue}? assign the new issue to that person.",
        "[please |]make the reporter of {issue} the assignee.",
    ),
)
WHO_WORKS = Frames(
    train=(
        "[please |also |]assign it to [whoever|the person who] works on {issue}.",
        "[its|the] assignee should be the [same as that|assignee] of {issue}.",
        "the assignee of {issue} [should|will] [also work|work] on the new issue.",
        "can you assign it to the assignee of {issue}?",
        "who works on {issue}? please assign the new issue to that person.",
        "[please |]look up who works on {issue} and assign the new issue to that person.",
    ),
    heldout=(
        "the person who works on {issue} should be the assignee[ of the new issue|].",
        "[please |]use the assignee of {issue} for the new issue.",
        "look up who has {issue} and make that person the assignee of the new issue.",
    ),
)
LEAD = Frames(
    train=(
        "[please |also |]assign it to [the lead of the project|the project lead|whoever leads the project].",
        "[its|the] assignee should be the [lead of the project|project lead].",
        "the [project lead|lead of the project] [should|will] work on it.",
        "[please |]look up who leads the project and assign it to that person.",
    ),
    heldout=(
        "the person who leads the project should be the assignee[, so please look up who that is|].",
        "[please |]make the lead of the project the assignee.",
        "it is for the lead of the project, who should be the assignee.",
    ),
)
SAME_PRIORITY = Frames(
    train=(
        "[please |also |]give it the [same priority as|priority of] {issue}.",
        "[its|the] priority should be the same as that of {issue}.",
        "it needs the [same priority as|priority of] {issue}.",
        "can you look up the priority of {issue} and use it for the new issue?",
        "what is the priority of {issue}? the new issue needs the same.",
    ),
    heldout=(
        "for the priority, use that of {issue}.",
        "{issue} has the priority that the new issue should get.",
        "[please |]make its priority the same as that of {issue}.",
    ),
)
SAME_LABELS = Frames(
    train=(
        "[please |also |]give it the [same labels as|labels of] {issue}.",
        "[its|the] labels should be the same as those of {issue}.",
        "it needs [all|all the] labels of {issue}.",
        "can you look up the labels of {issue} and add them to the new issue?",
        "whatever labels {issue} has, add them to the new issue.",
    ),
    heldout=(
        "for the labels, use those of {issue}.",
        "{issue} has the labels that the new issue should get.",
        "[please |]add all labels that {issue} has to the new issue.",
    ),
)
SAME_PARENT = Frames(
    train=(
        "[please |also |]put it under the [same parent as|parent of] {issue}.",
        "[its|the] parent should be the same as that of {issue}.",
        "it belongs under the parent of {issue}.",
        "can you look up the parent of {issue} and put the new issue under it?",
    ),
    heldout=(
        "for the parent, use that of {issue}.",
        "{issue} has the parent that the new issue should get.",
        "the new issue belongs under the same parent as {issue}.",
    ),
)
ISSUE_SUMMARY = Frames(
    train=('the {kind} "{summary}" in {project}', 'the {kind} called "{summary}" in {project}'),
    heldout=('the {kind} in {project} called "{summary}"',),
)

CONDITIONS = {
    "assignee": Frames(
        train=(
            "nobody works on {issue}",
            "{issue} has no assignee",
            "{issue} is not assigned to anybody",
            "there is no assignee on {issue}",
        ),
        heldout=("nobody is assigned to {issue}", "{issue} is assigned to nobody"),
    ),
    "status": Frames(
        train=(
            'the status of {issue} is [{value}|"{value}"]',
            'the status of {issue} is [now|already] "{value}"',
            '{issue} [has|is in] the status [{value}|"{value}"]',
        ),
        heldout=('"{value}" is the status of {issue}', "{issue} is now in the status {value}"),
    ),
    "priority": Frames(
        train=("{issue} has [{value} priority|the priority {value}]", 'the priority of {issue} is [{value}|"{value}"]'),
        heldout=("{value} is the priority of {issue}", "{issue} is one with {value} priority"),
    ),
    "labels": Frames(
        train=('{issue} has the label [{value}|"{value}"]', 'the label [{value}|"{value}"] is on {issue}'),
        heldout=("{value} is [one of the labels|a label] of {issue}", "the labels of {issue} have {value} in them"),
    ),
}
"""Field of the issue that decides -> how a request asks for it."""
EITHER = {
    "assignee": Frames(
        train=(
            "if {condition}, [please |]assign the new issue to {yes}, otherwise to {no}.",
            "[please |]assign the new issue to {yes} if {condition}, [and to {no} if not|otherwise to {no}].",
            "the assignee depends: {yes} if {condition}, otherwise {no}.",
            "if {condition}, {yes} [will|should] work on the new issue. otherwise, assign it to {no}.",
            "should {yes} or {no} get the new issue? if {condition}, assign it to {yes}, otherwise to {no}.",
        ),
        heldout=(
            "assign the new issue to {no}, but if {condition}, then to {yes}.",
            "the assignee is {yes} in case {condition}, and if not, {no}.",
            "is it so that {condition}? then the new issue is for {yes}, and otherwise for {no}, as the assignee.",
        ),
    ),
    "priority": Frames(
        train=(
            "if {condition}, [please |]give the new issue {yes} priority, otherwise {no} priority.",
            "[please |]set the priority of the new issue to {yes} if {condition}, otherwise to {no}.",
            "the priority depends: {yes} if {condition}, otherwise {no}.",
            "if {condition}, the new issue needs {yes} priority. otherwise, set its priority to {no}.",
        ),
        heldout=(
            "give the new issue {no} priority, but if {condition}, then {yes} priority.",
            "the priority is {yes} in case {condition}, and if not, {no}.",
            "is it so that {condition}? then the priority of the new issue is {yes}, and otherwise it is {no}.",
        ),
    ),
    "labels": Frames(
        train=(
            "if {condition}, [please |]add the label {yes} to the new issue, otherwise {no}.",
            "[please |]give the new issue the label {yes} if {condition}, otherwise {no}.",
            "the label of the new issue depends: {yes} if {condition}, otherwise {no}.",
            "if {condition}, the new issue needs the label {yes}. otherwise, add the label {no} to it.",
        ),
        heldout=(
            "the new issue needs the label {no}, but if {condition}, then {yes} and not {no}.",
            "the label of the new issue is {yes} in case {condition}, and if not, {no}.",
            "is it so that {condition}? then the new issue needs the label {yes}, and otherwise the label {no}.",
        ),
    ),
}
"""A condition with two outcomes."""
ONLY_IF = {
    "assignee": Frames(
        train=(
            "[please |]assign the new issue to {yes}, but only if {condition}.",
            "if {condition}, [please |]assign the new issue to {yes}, otherwise to nobody.",
            "if {condition}, then {yes} [will|should] work on the new issue; otherwise leave it without an assignee.",
        ),
        heldout=(
            "only if {condition}, please assign the new issue to {yes}.",
            "the new issue should get {yes} as the assignee if {condition}, but nobody otherwise.",
        ),
    ),
    "priority": Frames(
        train=(
            "[please |]give the new issue {yes} priority, but only if {condition}.",
            "if {condition}, [please |]set the priority of the new issue to {yes}, otherwise leave the default.",
            "only give the new issue {yes} priority if {condition}.",
        ),
        heldout=(
            "only if {condition}, please set the priority of the new issue to {yes}.",
            "the new issue should get {yes} priority if {condition}, but otherwise the default.",
        ),
    ),
    "labels": Frames(
        train=(
            "[please |]add the label {yes} to the new issue, but only if {condition}.",
            "if {condition}, [please |]give the new issue the label {yes}, otherwise [no label|none].",
            "only add the label {yes} to the new issue if {condition}.",
        ),
        heldout=(
            "only if {condition}, please add the label {yes} to the new issue.",
            "the new issue should get the label {yes} if {condition}, but otherwise none.",
        ),
    ),
    "parent": Frames(
        train=(
            "[please |]put the new issue under {yes}, but only if {condition}.",
            "if {condition}, [please |]put the new issue under {yes}, otherwise leave it without a parent.",
            "only put the new issue under {yes} if {condition}.",
        ),
        heldout=(
            "only if {condition}, please put the new issue under {yes}.",
            "the new issue should get {yes} as its parent if {condition}, but otherwise none.",
        ),
    ),
}
"""A condition whose other outcome is that nothing is set."""
