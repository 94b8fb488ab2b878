"""What people write around a request: a greeting, why they ask, and thanks."""

from __future__ import annotations

from envs.phrasing import Frames

GREETINGS = Frames(
    train=("[Hi|Hello|Good morning][ team| all|],", "[Hi|Hello] there,"),
    heldout=("Good morning there,", "Hello again team,"),
)
CONTEXTS = Frames(
    train=(
        "[we are|the team is] [preparing|cleaning up] before the [next audit|release|meeting].",
        "I am [out of the office until [tomorrow|the meeting]|in a meeting until tomorrow].",
        "[this|it] came up [again|] in the [review|weekly meeting].",
        "[sorry, |]I [cannot|can not] do this from my phone.",
        "[the audit|the release] is [tomorrow|next week].",
    ),
    heldout=(
        "the team is in a review[ again|] before the next meeting.",
        "the release came up [again |]in the weekly review.",
    ),
)
CLOSINGS = Frames(
    train=("[thanks|thank you][!|.]", "[thanks|thank you] for [your help|this]."),
    heldout=("thank you all for this!", "thanks again."),
)
