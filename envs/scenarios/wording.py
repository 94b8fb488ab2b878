"""What people write around a request: a greeting, why they ask, and thanks."""

from __future__ import annotations

from envs.phrasing import Frames

GREETINGS = Frames(
    train=("[Hi|Hello|Good morning][ team| all| there|][!|.]", "Hello again[, team|][!|.]"),
    heldout=("Good morning again, all!", "Hi again, team!"),
)
CONTEXTS = Frames(
    train=(
        "we need this before the next [audit|release|meeting].",
        "before the [meeting|release], [we are|the team is] cleaning up.",
        "I am [out of the office|in a meeting] until [tomorrow|next week].",
        "[this|it] came up [again |]in the [audit|weekly meeting].",
        "[sorry, |]I cannot do this from my phone.",
        "the [audit|release] is [tomorrow|next week].",
        "[sorry for the short notice|this is for the weekly report].",
    ),
    heldout=(
        "the weekly meeting is tomorrow, and [this|it] came up again.",
        "before the next [audit|release], I am out of the office.",
    ),
)
CLOSINGS = Frames(
    train=("[many thanks|thanks|thank you][ again|, all|][!|.]", "[thanks|thank you] for [your help|this][!|.]"),
    heldout=("thank you all for this!", "thank you again for your help."),
)
