"""Sample a group of siblings and look at them: where they part, what each call returned, what each part scored.

python docs/examples/look_at_episodes.py [CHECKPOINT]
"""

import sys

import grpo
from envs.scenarios import SCENARIOS

TASK, SIBLINGS = 7, 4
limits = grpo.Options().limits
scenarios = {"page-create": SCENARIOS["page-create"]}
actor = grpo.Actor.prepare(grpo.load(sys.argv[1] if len(sys.argv) > 1 else "tiny"), scenarios, limits, slots=SIBLINGS)

requests = [
    grpo.Request("page-create", "heldout", TASK, group=0, sibling=place, key=grpo.stream_key(0, 0, TASK, place))
    for place in range(SIBLINGS)
]
episodes = actor.play(requests, grpo.Sampling(temperature=1.0))

request = next(message["content"] for message in episodes[0].messages if message["role"] == "user")
print(f"{request}\n")
for episode in episodes:
    parts = ", ".join(f"{name} {value:.2f}" for name, value in episode.score.parts.items())
    print(f"reward {episode.reward:.3f} ({parts}), {sum(episode.mask)} tokens sampled, {episode.stop_reason.value}")
    for call in episode.trace:
        print(f"    {call.status} {call.name} {call.arguments}")
