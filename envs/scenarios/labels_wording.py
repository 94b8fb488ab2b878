"""The wording of `issue-labels`. Every word of a held-out pattern also occurs in a training pattern."""

from __future__ import annotations

from envs.phrasing import Frames

LABEL = Frames(train=("the label {label}", "{label}"), heldout=("the {label} label", "{label}"))
LABELS = Frames(
    train=("the labels {first} and {second}", "{first} and {second}"),
    heldout=("the {first} and {second} labels",),
)
ADD = Frames(
    train=(
        "[please |]add {labels} to {issue}.",
        "[can|could] you [please |]add {labels} to {issue}?",
        "[can|could] you put {labels} on {issue}[, please|]?",
        "{issue} [needs|should get|should carry] {labels}.",
        "[please |][put {labels} on|attach {labels} to] {issue}.",
        "[please |]make sure that {issue} gets {labels}.",
        "[on|for] {issue}, [please add|we need|I would like] {labels}.",
        "[I would like|we want] {labels} on {issue}.",
        "to the labels of {issue}, please add {labels}.",
        "what we need on {issue} is {labels}.",
    ),
    heldout=(
        "to {issue}, [please |]add {labels}.",
        "what {issue} [needs|should get] is {labels}.",
        "[please |]see to it that {issue} gets {labels}.",
    ),
)
REMOVE = Frames(
    train=(
        "[please |]remove {labels} from {issue}.",
        "[can|could] you [please |]take {labels} off {issue}?",
        "[please |][take {labels} off|drop {labels} from] {issue}.",
        "{issue} [should no longer carry|no longer needs] {labels}.",
        "on {issue}, [please remove|we no longer need] {labels}.",
        "[please |]see to it that {issue} no longer carries {labels}.",
        "from the labels of {issue}, please remove {labels}.",
        "we no longer want {labels} on {issue}.",
    ),
    heldout=(
        "from {issue}, [please |]remove {labels}.",
        "what {issue} no longer needs is {labels}.",
        "for {issue}, we no longer need {labels}.",
    ),
)
ALSO_ADD = Frames(
    train=(
        "[please |]add {labels}[ instead| to it|].",
        "[also|then] add {labels}[ to it|].",
        "instead, it [needs|should get] {labels}.",
        "it [needs|should get] {labels}[ instead|].",
    ),
    heldout=("what it needs instead is {labels}.", "instead, please put {labels} on it."),
)
ALSO_REMOVE = Frames(
    train=(
        "[please |]remove {labels}[ from it|].",
        "[also|then] [remove {labels}|take {labels} off it].",
        "it no longer needs {labels}.",
        "it should no longer carry {labels}.",
        "and we no longer need {labels} on it.",
    ),
    heldout=("what it no longer needs is {labels}.", "also, please take {labels} off it."),
)
BOTH = Frames(
    train=(
        "[on|for] {issue}, [please |]{first} and {second}.",
        "[please change the labels of|about] {issue}: {first} and {second}.",
        "[please |]{first} and {second} on {issue}.",
        "the labels of {issue} [need a change|should change]: {first} and {second}.",
        "[can|could] you change {issue}[ for me|]? please {first} and {second}.",
        "[two changes on|there are two changes for] {issue}: {first}, and [also |then |]{second}.",
    ),
    heldout=(
        "{first} and {second}: [please |]change the labels of {issue} like this.",
        "there are two changes for the labels on {issue}: please {first}, then {second}.",
    ),
)
SWAP = Frames(
    train=(
        "[please |]replace {old} [by|with] {new} on {issue}.",
        "[on|for] {issue}, [please |]replace {old} [by|with] {new}.",
        "[can|could] you replace {old} with {new} on {issue}?",
        "[on|for] {issue}, we want {new} instead of {old}.",
        "on {issue}, {old} [is wrong|was a mistake]. [please |]replace it [by|with] {new}.",
        "instead of {old}, we want {new} on {issue}.",
    ),
    heldout=(
        "instead of {old}, {issue} [needs|should get] {new}.",
        "for {issue}: please take {old} off it and put {new} on it.",
    ),
)
ADD_TO_BOTH = Frames(
    train=(
        "[please |]add {labels} to {issue} and [also |]to {other}.",
        "both {issue} and {other} [need|should get] {labels}.",
        "[on|for] {issue} and [on|for] {other}, [we need|please add] {labels}.",
        "two issues need {labels}: {issue} and {other}.",
        "[can|could] you put {labels} on {issue} and on {other}?",
        "{issue} should get {labels}, and so should {other}.",
    ),
    heldout=(
        "to both {issue} and {other}, please add {labels}.",
        "what we want on {issue} and also on {other} is {labels}.",
    ),
)
ADD_IT = Frames(
    train=("add {labels} to it", "put {labels} on it", "give it {labels}"),
    heldout=("attach {labels} to it",),
)
REMOVE_IT = Frames(
    train=("remove {labels} from it", "take {labels} off it"),
    heldout=("drop {labels} from it",),
)
REMOVE_THAT = Frames(
    train=("remove that label", "take that label off", "remove that label from it"),
    heldout=("take that label off it",),
)
CHANGE_IT = Frames(
    train=("[please |]{change}.", "[can|could] you [please |]{change}?", "I would like you to {change}."),
    heldout=("what I would like: {change}.",),
)
CONDITION = Frames(
    train=(
        "if {issue} {predicate}, [please |]{yes}[; otherwise|. otherwise,|. if not,] {no}.",
        "[please |]check whether {issue} {predicate}. if [so|that is the case], {yes}. [otherwise|if not], {no}.",
        "[please |][look at|check] {issue}. if it {predicate}, {yes}, [otherwise|but if not,] {no}.",
        "this is about {issue}. in case it {predicate}, [please |]{yes}[;|.] if not, {no}.",
    ),
    heldout=(
        "about {issue}: please {no}, but if it {predicate}, {yes} instead.",
        "in case {issue} {predicate}, {yes}; if that is not so, {no}.",
    ),
)
GUARD = Frames(
    train=(
        "[only do this|do this only] if it carries {old}; [if not|otherwise], change nothing and tell me[ so|].",
        "[but |]if it does not carry {old}, [please |]leave it as it is and tell me that [this|it] cannot be done.",
        "for this, {old} must be there. if it is not, change nothing and tell me that it cannot be done.",
    ),
    heldout=("if it does not carry {old} at all, this cannot be done: tell me so and change nothing.",),
)
ADD_TO_ALL = Frames(
    train=(
        "[please |]add {label} to all {things} in {project} that {predicates}.",
        "all {things} in {project} that {predicates} [need|should get] {label}.",
        "[can|could] you put {label} on all {things} in {project} that {predicates}?",
        "this is about {project}. [please |]add {label} to all its {things} that {predicates}.",
        "[on|for] all {things} in {project} that {predicates}, [we need|please add] {label}.",
        "[look|please look] for all {things} in {project} that {predicates}, and put {label} on them.",
    ),
    heldout=(
        "to all {things} in {project} that {predicates}, [please |]add {label}.",
        "in {project}, please look for all {things} that {predicates}, and put {label} on all of them.",
    ),
)
REMOVE_FROM_ALL = Frames(
    train=(
        "[please |]remove {label} from all issues in {project} that carry it and {predicates}.",
        "[please |]take {label} off all issues in {project} that {predicates}.",
        "issues in {project} that {predicates} should not carry {label}. [please |]remove it where they do.",
        "[can|could] you take {label} off [all|those] issues in {project} that carry it and {predicates}?",
        "[on|for] all issues in {project} that carry {label} and {predicates}, [please |]remove that label.",
    ),
    heldout=("from all issues in {project} that {predicates}, [please |]remove {label} where they carry it.",),
)
EXACT = Frames(
    train=(
        "{issue} should [carry|have] exactly {labels} in the end[, and no other label|].",
        "[please |]see to it that {issue} carries {labels} and no other label.",
        "the labels of {issue} should be exactly {labels}.",
        "in the end, {issue} should carry {labels} and nothing else.",
        "[can|could] you make {labels} the only labels on {issue}?",
        "there should be no other labels on {issue} than {labels}.",
    ),
    heldout=(
        "on {issue}, there should be exactly {labels}[ in the end|].",
        "what {issue} should carry in the end is {labels}, and nothing else.",
    ),
)
ENSURE = Frames(
    train=(
        "[please |]see to it that {issue} carries {labels} but not {other}.",
        "{issue} should carry {labels}, but not {other}.",
        "in the end, {issue} should have {labels} but no longer {other}.",
        "[please |]check the labels of {issue}. it should carry {labels} but not {other}.",
    ),
    heldout=("what {issue} should carry in the end is {labels}, but not {other}.",),
)
SWAP_IT = Frames(
    train=(
        "[please |]see to it that {issue} carries {new} instead of {old}.",
        "in the end, {issue} should carry {new} but no longer {old}.",
        "{issue} should have {new} instead of {old}.",
    ),
    heldout=("instead of {old}, what {issue} should carry in the end is {new}.",),
)
HALF = Frames(
    train=(
        "[some|a part] of this may [already be done|be done already].",
        "I do not know what is already there.",
        "[maybe|I think that] some of this is already done.",
        "[maybe|it may be that] [somebody|I] already did a part of it.",
    ),
    heldout=("it may be that some of this is already there.",),
)
FORM_HEAD = Frames(
    train=(
        "[please |]change these labels[ for me|]:",
        "some labels to change:",
        "these labels should change[, please|]:",
    ),
    heldout=("please change some labels for me:", "these labels need a change:"),
)
FORM_LINES = Frames(
    train=("[issue|ticket]: {issue}\n{lines}", "on[ the|] issue: {issue}\n{lines}"),
    heldout=("{lines}\nissue: {issue}",),
)
FORM_BOTH_ISSUES = Frames(
    train=("[issues|tickets]: {issue}, {other}\nadd: {add}", "issue: {issue}\nissue: {other}\nadd to both: {add}"),
    heldout=("add: {add}\nissues: {issue}, {other}", "add to both: {add}\nissue: {issue}\nissue: {other}"),
)
