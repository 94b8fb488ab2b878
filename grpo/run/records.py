"""Episodes as plain data and as text, as they are written to files. Starts without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpo.types import Episode
from rewards.score import Score
from rewards.trace import Call, Kind, answer_of


def outcome(trace: Sequence[Call], score: Score) -> dict[str, Any]:
    """The calls of an episode with the turns that made them, their responses, the closing answer, and the score."""
    calls = [call for call in trace if call.kind != Kind.ANSWER]
    return {
        "calls": [{"name": call.name, "arguments": call.arguments, "turn": call.turn} for call in calls],
        "responses": [{"status": call.status, "body": call.body} for call in calls],
        "answer": answer_of(trace),
        "score": {"total": score.total, "parts": dict(score.parts)},
    }


def episode_record(episode: Episode) -> dict[str, Any]:
    """An episode as plain data, without its tokens."""
    request = episode.request
    return {
        "scenario": request.scenario,
        "split": request.split,
        "seed": request.seed,
        "stop_reason": episode.stop_reason.value,
        "turns": episode.turns,
        "sampled_tokens": sum(episode.mask),
        "messages": list(episode.messages),
        **outcome(episode.trace, episode.score),
    }


def episode_text(episode: Episode) -> str:
    """An episode as a conversation."""
    request = episode.request
    title = f"{request.scenario}, {request.split} task {request.seed}: reward {episode.reward:.3f}"
    parts = ", ".join(f"{name} {value:+.3f}" for name, value in episode.score.parts.items())
    lines = [f"=== {title} ({episode.stop_reason.value} after {episode.turns} turns)", parts]
    lines += [f"\n[{message['role']}]\n{message['content']}" for message in episode.messages]
    return "\n".join(lines)
