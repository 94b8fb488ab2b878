"""The wording of `issue-read`. Every word of a held-out pattern also occurs in a training pattern."""

from __future__ import annotations

from envs.phrasing import Frames

LIST = Frames(
    train=("the {first} and the {second}", "the {first} and {second}", "the {first} as well as the {second}"),
    heldout=("the {first} and also the {second}",),
)
ASK = Frames(
    train=(
        "[so, |]{who} {be} {what} of {issue}?",
        "[please |][tell|give] me {what} of {issue}.",
        "[tell|give] me {what} of {issue}, please.",
        "[can|could] you [please |][tell me|look up|find] {what} of {issue}?",
        "[could|can] you have a look at {issue} and tell me {what}?",
        "I [need|want] to know {what} of {issue}[, please|].",
        "I need {what} of {issue}.",
        "for {issue}, [please tell me|I need|please look up] {what}.",
        "[about|a question about] {issue}: {who} {be} {what}?",
        "[about|a question about] {issue}: [can|could] you tell me {what}?",
        "of [all |]the fields of {issue}, I need [only |just ]{what}.",
        "[please |]look up {issue} and [tell|give] me {what}.",
        "{what} of {issue}[?|, please.]",
    ),
    heldout=(
        "{what} of {issue} {be} what I need[ to know|].",
        "of {issue}, I want to know {what}[, please|].",
        "{issue}: can you give me {what}?",
        "about {issue}, could you tell me just {what}?",
    ),
)
INTRO = Frames(
    train=(
        "[I am looking at|this is about|my question is about|it is about] {issue}.",
        "[please |][take|have] a look at {issue}.",
        "[please |][open|find] {issue}[ for me|].",
        "there is a question about {issue}.",
    ),
    heldout=("{issue} is what [this is about|I am looking at].", "what I am looking at is {issue}."),
)
ASK_ITS = Frames(
    train=(
        "{who} {be} its {bare}?",
        "[please |][tell|give] me its {bare}.",
        "I need [to know |]its {bare}[, please|].",
        "[can|could] you [look up|tell me] its {bare}?",
        "[so, |]{who} {be} the {bare}?",
        "of its fields, I need only the {bare}.",
        "its {bare}, please.",
    ),
    heldout=("its {bare} {be} what I need[ to know|].", "could you give me just its {bare}?"),
)
DIRECT = {
    "status": Frames(
        train=("[what|which] status does {issue} have", "in which status is {issue}", "what is the status of {issue}"),
        heldout=("{issue} is in which status",),
    ),
    "priority": Frames(
        train=("[what|which] priority does {issue} have", "what is the priority of {issue}"),
        heldout=("{issue} has which priority",),
    ),
    "type": Frames(
        train=("[what|which] type of issue is {issue}", "of [what|which] type is {issue}"),
        heldout=("{issue} is of which type",),
    ),
    "assignee": Frames(
        train=("who is assigned to {issue}", "to whom is {issue} assigned", "who is the assignee of {issue}"),
        heldout=("{issue} is assigned to whom",),
    ),
    "reporter": Frames(
        train=("who reported {issue}", "by whom was {issue} reported", "who is the reporter of {issue}"),
        heldout=("{issue} was reported by whom",),
    ),
    "labels": Frames(
        train=("[what|which] labels does {issue} [have|carry]", "what are the labels of {issue}"),
        heldout=("the labels of {issue} are which",),
    ),
    "description": Frames(
        train=("what does the description of {issue} say", "what is the description of {issue}"),
        heldout=("the description of {issue} is what",),
    ),
    "resolution": Frames(
        train=("[what|which] resolution does {issue} have", "what is the resolution of {issue}"),
        heldout=("{issue} has which resolution",),
    ),
    "comments": Frames(
        train=("what do the comments [on|of] {issue} say", "which comments does {issue} have"),
        heldout=("the comments of {issue} say what",),
    ),
}
"""Field -> a question for it, without its question mark."""
QUESTION = Frames(
    train=("[so, |]{question}?", "[one|just a|just one] question: {question}?", "[please |]tell me: {question}?"),
    heldout=("a question, please: {question}?", "just tell me: {question}?"),
)
TWO_DIRECT = Frames(
    train=(
        "[so, |]{first}, and {second}?",
        "{first}? [and |]{second}?",
        "[two|just two] questions: {first}? {second}?",
    ),
    heldout=("{first}? also, {second}?", "I need to know two things: {first}, and {second}?"),
)
TWO = Frames(
    train=(
        "[please |][tell|give] me {what} of {issue} and {other_what} of {other}.",
        "[please |]look up {what} of {issue}, and [then |also ]{other_what} of {other}.",
        "{who} {be} {what} of {issue}, and {other_who} {other_be} {other_what} of {other}?",
        "I [need|want] to know two things: {what} of {issue} and {other_what} of {other}.",
        "[can|could] you tell me {what} of {issue}? [also|and], {other_who} {other_be} {other_what} of {other}?",
        "for {issue}, I need {what}. for {other}, I need {other_what}.",
        "[this|my question] is about two issues. of {issue} I need {what}, and of {other} [I need |]{other_what}.",
    ),
    heldout=(
        "of {issue}, please tell me {what}; of {other}, {other_what}.",
        "{what} of {issue} and {other_what} of {other} are what I need.",
    ),
)
SAME = Frames(
    train=(
        "{who} {be} {what} of {issue} and [of |]{other}?",
        "[please |][tell|give] me {what} of both {issue} and {other}.",
        "I need [to know |]{what} of two issues: {issue} and {other}.",
        "both for {issue} and for {other}, I need {what}.",
    ),
    heldout=("two issues, {issue} and {other}: {who} {be} {what} of both?",),
)
PARENT = Frames(
    train=("the parent of {issue}", "the parent issue of {issue}"),
    heldout=("the issue that {issue} has as the parent",),
)
LINKED = Frames(
    train=("the [issue|ticket] that {inverse} {issue}", "the [issue|ticket] that {issue} {relation}"),
    heldout=("the issue which {inverse} {issue}", "the ticket which {issue} {relation}"),
)
LINKED_SHORT = Frames(
    train=("the [issue|ticket] that {inverse} {issue}",),
    heldout=("the issue which {inverse} {issue}",),
)
"""Without words after the issue, so that it can stand anywhere in a sentence."""
CONDITION = Frames(
    train=(
        "if {issue} {predicate}, [please |][tell|give] me its {yes}. [otherwise|if not], [I need|tell me] its {no}.",
        "if {issue} {predicate}, {who_yes} {be_yes} its {yes}? [otherwise|if not], {who_no} {be_no} its {no}?",
        "[please |]tell me the {yes} of {issue} if it {predicate}, and its {no} [if not|otherwise].",
        "I need [to know |]the {no} of {issue}. but if it {predicate}, [tell me|I need] its {yes} instead.",
        "[please |]look whether {issue} {predicate}. if so, I need its {yes}[.|;] if not, its {no}.",
        "[please |]look at {issue}. if it {predicate}, tell me its {yes}, otherwise its {no}.",
    ),
    heldout=(
        "what I need of {issue}: its {yes} if it {predicate}, otherwise its {no}.",
        "about {issue}: {who_no} {be_no} its {no}? but if it {predicate}, I want to know its {yes} instead.",
    ),
)
CONDITION_OF_TWO = Frames(
    train=(
        "if {issue} {predicate}, [please |]tell me the {field} of {first}, [otherwise|if not,] {that} of {second}.",
        "I need [to know |]the {field} of {second}. but if {issue} {predicate}, I need {that} of {first} instead.",
        "[please |]look whether {issue} {predicate}. if so, I need the {field} of {first}; if not, {that} of {second}.",
        "[please |]look at {issue}. if it {predicate}, tell me the {field} of {first}, otherwise {that} of {second}.",
    ),
    heldout=(
        "what I need is the {field} of {first} if {issue} {predicate}, otherwise {that} of {second}.",
        "about {issue}: if it {predicate}, I want to know the {field} of {first}; if not, {that} of {second}.",
    ),
)
PERSON = Frames(
    train=(
        "[please |]tell me [who that person is for|the name of that person of] {issue}.",
        "for {issue}, [I need|please give me] [only |just ]the name of that person.",
        "who is that person for {issue}?",
        "[can|could] you look up {issue} and tell me who that person is?",
        "I need one person of {issue}, and only that one.",
    ),
    heldout=(
        "the name of one person of {issue} is what I need.",
        "about {issue}, could you tell me who that person is?",
    ),
)
ONE_EACH = Frames(
    train=(
        "[please |][tell|give] me the {first} of one issue and the {second} of another[ one|].",
        "I need [to know |]the {first} of one issue and the {second} of another[ one|][, please|].",
        "my question is about two issues. of one I need the {first}, and of [another|the other] the {second}.",
        "[can|could] you look up two issues? I need the {first} of one and the {second} of the other.",
    ),
    heldout=(
        "two issues: of one, tell me the {first}; of another, the {second}.",
        "the {first} of one issue and the {second} of another are what I need.",
    ),
)
KEYS = Frames(
    train=(
        "which {things} in {project} {predicates}? [I need|please give me] their keys.",
        "[please |][list|give me|tell me] the keys of [all|the] {things} in {project} that {predicates}.",
        "I need [to know |]the keys of all {things} in {project} that {predicates}.",
        "[please |][find|look up] all {things} in {project} that {predicates}, and [tell|give] me their keys.",
        "[can|could] you list the {things} in {project} that {predicates}? the keys are all I need.",
        "this is about {project}. I need the keys of all {things} that {predicates}.",
    ),
    heldout=(
        "in {project}, which {things} {predicates}? I want to know all their keys.",
        "for all {things} in {project} that {predicates}, give me the keys, please.",
    ),
)
COUNT = Frames(
    train=(
        "[so, |]how many {things} in {project} {predicates}?",
        "[please |][count|tell me the number of] the {things} in {project} that {predicates}.",
        "I need [to know |]the number of {things} in {project} that {predicates}.",
        "[can|could] you [count|tell me the number of] [all |]the {things} in {project} that {predicates}?",
        "this is about {project}. how many {things} are there that {predicates}?",
        "in the weekly report, I need the number of {things} in {project} that {predicates}.",
    ),
    heldout=(
        "in {project}, how many {things} are there that {predicates}?",
        "the {things} in {project} that {predicates}: how many are there?",
    ),
)
DOUBT = Frames(
    train=(
        "[I am not sure that|I do not know whether|I am not sure whether] there is a project called {name}. "
        "[if there is|if so], {who} {be} {what} of the issue {summary} in it?",
        "if there is a project called {name}, [please |]tell me {what} of the issue [called |]{summary} in it.",
        "[please |]look whether there is a project called {name}. if so, I need {what} of its issue {summary}.",
        "is there still a project called {name}? if so, [please |]give me {what} of its issue {summary}.",
        "there may be a project called {name}. if [so|there is one], find {what} of the issue {summary} in it.",
    ),
    heldout=(
        "is there a project called {name}? if there is one, I want to know {what} of the issue {summary} in it.",
        "tell me {what} of the issue {summary} in the project called {name}, if there is one.",
    ),
)
FORM_HEAD = Frames(
    train=(
        "[please |]look this up[ for me|]:",
        "[here is my|my] question[ as a form|]:",
        "what I [need|want] to know:",
    ),
    heldout=("[please |]find this for me:", "here is what I need to know:"),
)
FORM_KEY = Frames(
    train=("issue: {issue}\n[wanted|needed|fields]: {fields}", "[key|ticket]: {issue}\n[wanted|fields]: {fields}"),
    heldout=("wanted: {fields}\nissue: {issue}", "fields: {fields}\nkey: {issue}"),
)
FORM_SUMMARY = Frames(
    train=(
        "project: {project}\n[issue|summary|ticket]: {summary}\n[wanted|needed|fields]: {fields}",
        "[issue|summary]: {summary}\nproject: {project}\n[wanted|fields]: {fields}",
    ),
    heldout=("wanted: {fields}\nsummary: {summary}\nproject: {project}",),
)
TWO_FORM = Frames(
    train=(
        "[issue|ticket]: {issue}\nwanted: {fields}\n[issue|ticket]: {other}\nwanted: {other_fields}",
        "- {issue}: {fields}\n- {other}: {other_fields}",
    ),
    heldout=("{issue}\n- {fields}\n{other}\n- {other_fields}",),
)
SET_FORM = Frames(
    train=("project: {project}\n{lines}\n[wanted|needed]: {wanted}", "{lines}\nproject: {project}\nwanted: {wanted}"),
    heldout=("wanted: {wanted}\nproject: {project}\n{lines}",),
)
