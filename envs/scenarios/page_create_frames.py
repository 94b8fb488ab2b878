"""The frames of `page-create`: how people ask for a page. "It" is the new page."""

from __future__ import annotations

from envs.phrasing import Frames

SPACE_KEY = Frames(train=("[the space |]{key}", "the space with the key {key}"), heldout=("the {key} space",))
SPACE_NAME = Frames(train=("the space {name}", "the space called {name}"), heldout=("the {name} space",))
SPACE_WITH = Frames(
    train=(
        "the space that has [a|the] page [called |]{page}",
        "whichever space has [a|the] page [called |]{page}",
        "the space in which there is a page called {page}",
    ),
    heldout=("the space with the page {page} in it", "the one space that has {page}"),
)
"""A space is known by one of its pages."""
OPENING = Frames(
    train=(
        '[please |]create a [new |]page [called|with the title] ["{title}"|{title}] in {space}.',
        '[could|can] you [please |]create a page [called|with the title] ["{title}"|{title}] in {space}?',
        '[we|I] need a [new |]page [called|with the title] ["{title}"|{title}] in {space}.',
        '[in|for] {space}, [please |][create|add] a page [called|with the title] ["{title}"|{title}].',
        '[please |]add a [new |]page to {space} and call it ["{title}"|{title}].',
        '"{title}" should be a new page in {space}. [please create it.|can you create it?]',
        '[I|we] would like a page in {space}. [its title is|call it|the title is] ["{title}"|{title}].',
        "[please |]add this page to {space}:\n{title}",
    ),
    heldout=(
        '{space} [needs|should have] a new page. please call it ["{title}"|{title}].',
        '[please |]use the title "{title}" for a new page that [I|we] need in {space}.',
        'for {space}, [I|we] need a page and its title should be ["{title}"|{title}].',
        '[I|we] would like to have "{title}" as a page in {space}.',
    ),
)
OPENING_BARE = Frames(
    train=(
        "[please |][create|add] a [new |]page{where}.",
        "[could|can] you [please |][create|add] a [new |]page{where}?",
        "[we|I] [need|would like] [a new|one more] page{where}.",
        "what [we|I] need is a [new |]page{where}.",
        "there should be [a new|one more] page{where}. [please create it.|can you create it?]",
    ),
    heldout=(
        "[a new|one more] page{where} is what [we|I] need.",
        "please create what [we|I] would like{where}: [a new|one more] page.",
    ),
)
"""For requests that name the space, the title or the parent in sentences of their own."""
SPACE_BEFORE = Frames(train=(" there", " in that space"), heldout=(" in that one space",))
SPACE_AFTER = Frames(
    train=(" in the right space", " in the space that [I mean|we need]"), heldout=(" in the space that we mean",)
)
"""How the first sentence refers to a space that another sentence before or after it names."""
TITLE = Frames(
    train=(
        "[please |also |]call it {title}.",
        "[its|the] title [is|should be] {title}.",
        "[please |]use the title {title}.",
        "it [needs|should have|should get] the title {title}.",
        "as the title, [please |]use {title}.",
        "can you call it {title}?",
    ),
    heldout=(
        "{title} should be its title.",
        "[please |]use {title} as [the|its] title.",
        "let the title be {title}.",
    ),
)
OPENING_ABSENT = Frames(
    train=('there is no page called "{title}" in {space} yet[. please|, so please] [create|add] [it|one].',),
    heldout=('the page "{title}" is not in {space} yet[. please create|, so please add] it.',),
)
"""For titles that cannot be taken."""
OPENING_UNDER = Frames(
    train=(
        '[please |]create a page [called|with the title] ["{title}"|{title}] under [the page |]{parent} in {space}.',
        "under [the page |]{parent} in {space}, [please |][create|add] a page [called|with the title] "
        '["{title}"|{title}].',
        '[could|can] you [please |][create|add] a page under {parent} in {space}, called ["{title}"|{title}]?',
        '[we|I] need a [new |]page called ["{title}"|{title}] in {space}, [as a child of|under] {parent}.',
        '[please |]add a page under [the page |]{parent} in {space} and call it ["{title}"|{title}].',
        '"{title}" should be a new page in {space}, under {parent}. please create it.',
        'the page {parent} in {space} [needs|should get] a child. call it ["{title}"|{title}].',
    ),
    heldout=(
        'in {space}, the page {parent} should have a new page under it. please call it ["{title}"|{title}].',
        'what [I|we] need in {space} is a child of {parent}, called ["{title}"|{title}].',
        'as a child of {parent} in {space}, please add a page with the title ["{title}"|{title}].',
    ),
)
UNDER = Frames(
    train=(
        "[please |also |][put it|add it] under [the page |]{parent}.",
        "[its|the] parent [is|should be] [the page |]{parent}.",
        "it [belongs|goes|should be] under [the page |]{parent}.",
        "[please |]make it a child of [the page |]{parent}.",
        "can you put it under {parent}?",
        "the place where it belongs is under {parent}.",
        "as the parent, [please |]use {parent}.",
    ),
    heldout=(
        "[the page |]{parent} should be its parent.",
        "under {parent} is where it belongs.",
        "it has a parent, [the page|which is] {parent}.",
        "what it goes under is the page {parent}.",
    ),
)
HOMEPAGE = Frames(
    train=(
        "[please |][put it|it goes|it belongs] directly under the homepage of the space.",
        "[its|the] parent is the homepage.",
        "it should be directly under the homepage.",
    ),
    heldout=("the homepage of the space should be its parent.", "it has the homepage as its parent."),
)
BODY = Frames(
    train=(
        '[its|the] body [is|should be] "{text}".',
        'what should it say? "{text}".',
        'it [says|should say] "{text}".',
        '[please |also |]use the body "{text}".',
        'the [page|body] should say: "{text}".',
        '"{text}" is what it should say.',
        'in the body, [please |]write "{text}".',
        'can you write "{text}" in the body?',
        'let it say "{text}".',
    ),
    heldout=(
        'let the body be "{text}".',
        'what the body should say is "{text}".',
        '"{text}" should be [its|the] body.',
        '[please |]write "{text}" as its body.',
    ),
)
BODY_LINES = Frames(
    train=(
        "[this|the following] is [its|the] body:\n{text}",
        "[it|the page] should say [this|the following]:\n{text}",
        "[please |]use [this|the following] body:\n{text}",
        "here is what [it|the page] should say:\n{text}",
        "[please |]write this in the body:\n{text}",
    ),
    heldout=(
        "what the page should say is here:\n{text}",
        "let it say this:\n{text}",
        "its body is the following:\n{text}",
    ),
)
"""A body on lines of its own."""
REASON = Frames(
    train=(
        "[two teams|the auditors|new members] [keep asking|have asked] for it.",
        "it is part of the next [release|audit].",
        "[we|the auditors] need it before the [audit|release|meeting].",
        "it is what the next meeting is for.",
    ),
    heldout=("the next audit is what [we|the team] need it for.", "new members have asked for it before."),
)
FORM_INTRO = Frames(
    train=(
        "[please |]create [this|the following|one more] page[ for me|]:",
        "[can|could] you create the following page[ for me|]?",
        "[we|I] need [this|a new|the following] page:",
        "new page[, please|]:",
        "for a new page, here is what [I|we] would like:",
    ),
    heldout=(
        "this is the [new |]page that [we|I] need:",
        "here is a new page[ for the team|]. please create it:",
        "[I|we] would like to have the following page:",
    ),
)
FORM_LINE = Frames(train=("{key}: {value}", "- {key}: {value}"), heldout=("{key} - {value}", "* {key}: {value}"))

WHICHEVER = Frames(
    train=(
        "[please |]put it under {one} or {two}, whichever is [directly under|a child of] {top}.",
        "[its|the] parent is the one of {one} and {two} that is [directly under|a child of] {top}.",
        "it belongs under {one} if that is [directly under|a child of] {top}, and otherwise under {two}.",
        "{one} or {two}? one of them is [directly under|a child of] {top}: put the new page under that one.",
        "either {one} or {two} is directly under {top}, and that page is the parent.",
    ),
    heldout=(
        "its parent should be whichever of {one} and {two} is directly under {top}.",
        "is {one} a child of {top}, or is {two}? put it under the one that is.",
        "{top} has one of {one} and {two} as a child, and it belongs under that one.",
    ),
)
"""One of two pages is a child of a third one."""
IF_PAGE = Frames(
    train=(
        "if the space has a page called {page}, [please |]put the new page under it, otherwise {otherwise}.",
        "[please |]put the new page under {page} if there is such a page in the space, otherwise {otherwise}.",
        "is there a page called {page} in the space? then put the new page under it, otherwise {otherwise}.",
        "look for a page called {page} in the space: if it is there, it is the parent, otherwise put it {otherwise}.",
        "if there is no page called {page} in the space, put the new page {otherwise}, otherwise under that page.",
    ),
    heldout=(
        "put the new page {otherwise}, but if the space has a page called {page}, then under that page.",
        "in case there is a page called {page} in the space, that page is the parent; if not, put the new page "
        "{otherwise}.",
        "the new page goes under {page}, but only if the space has it, and {otherwise} if not.",
    ),
)
"""The parent depends on whether a page exists."""
IF_CHILDREN = Frames(
    train=(
        "if {page} has [child pages|children], [please |]put the new page under it, otherwise {otherwise}.",
        "[please |]put the new page under {page} if it has [child pages|children] already, otherwise {otherwise}.",
        "if there is no page under {page}, put the new page {otherwise}, otherwise under {page}.",
        "does {page} have [child pages|children]? then put the new page under it, otherwise {otherwise}.",
    ),
    heldout=(
        "put the new page {otherwise}, but if {page} has child pages, then under that.",
        "the new page goes under {page}, but only if that has children, and {otherwise} if not.",
        "in case {page} has child pages already, it is the parent; if not, put the new page {otherwise}.",
    ),
)
"""The parent depends on whether a page has children."""
UNDER_HOMEPAGE = Frames(train=("[directly |]under the homepage",), heldout=("under the homepage of the space",))
UNDER_PAGE = Frames(train=("under [the page |]{parent}",), heldout=("under the one called {parent}",))
MAKE_SURE = Frames(
    train=(
        '[please |]make sure that there is a page called ["{title}"|{title}] in {space}.',
        '[please |]make sure that {space} has a page [called|with the title] ["{title}"|{title}].',
        '{space} should have a page [called|with the title] ["{title}"|{title}].',
        'there should be a page [called|with the title] ["{title}"|{title}] in {space}.',
        '[can|could] you make sure that there is a page called "{title}" in {space}?',
    ),
    heldout=(
        'please make sure of this: in {space} there is a page called ["{title}"|{title}].',
        '[I|we] need to have ["{title}"|{title}] as a page in {space}.',
        'is there a page called "{title}" in {space}? there should be one.',
    ),
)
MAKE_SURE_UNDER = Frames(
    train=(
        '[please |]make sure that there is a page called ["{title}"|{title}] under {parent} in {space}.',
        '[please |]make sure that {space} has a page [called|with the title] ["{title}"|{title}] under {parent}.',
        '{space} should have a page called ["{title}"|{title}] under [the page |]{parent}.',
        '[can|could] you make sure that there is a page called "{title}" in {space}, under {parent}?',
    ),
    heldout=(
        'please make sure of this: in {space} there is a page called ["{title}"|{title}], under {parent}.',
        '[I|we] need to have ["{title}"|{title}] as a child of {parent} in {space}.',
        'is there a page called "{title}" in {space}? there should be one, under {parent}.',
    ),
)
MEND = Frames(
    train=(
        "if there is one already, change what is wrong and [do not create another one|create no other one].",
        "[somebody may have created it already|it may be there already]; then [only |]correct what is wrong.",
        "[only |]create it if there is none, and otherwise correct the one that is there.",
        "if it is not there, create it; [if it is,|otherwise] correct what is wrong.",
        "[one may exist already|it may exist already], and in that case [please |]correct it.",
    ),
    heldout=(
        "only create one if there is none already, but otherwise correct it.",
        "please do not create another one if it is there, only correct what is wrong then.",
        "it may be there, and what is wrong in that case you should correct.",
    ),
)
TAKEN = Frames(
    train=(
        "a title that is taken [in the space |]cannot be used again.",
        "if the title is taken [already |]in the space, it cannot be used again, so change nothing.",
        "please look first: if the space has a page with that title, it cannot be used again.",
        "[please |]create it, but only if the title is not taken [already |]in the space.",
        "no two pages of a space can have the same title, so [please |]look first.",
    ),
    heldout=(
        "look first, please: the title cannot be used again if it is taken.",
        "if the space has a page with the same title already, change nothing, please.",
        "the title may be taken already, and then it cannot be used again.",
    ),
)
"""What to do if the title is taken."""
