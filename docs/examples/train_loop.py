"""The training loop, put together by hand: a policy that plays, the same policy that is trained, and the trainer.

    python docs/examples/train_loop.py

It takes half a minute on two cores. `grpo.train` does the same, and adds evaluations, records, snapshots and the final
checkpoint.
"""

import grpo
from envs.scenarios import SCENARIOS

options = grpo.Options(steps=2, prompts_per_step=2, group_size=4, seed=1)
scenarios = {"issue-labels": SCENARIOS["issue-labels"]}

checkpoint = grpo.load("tiny")  # or the folder of a Hugging Face checkpoint
actor = grpo.Actor.prepare(checkpoint, scenarios, options.limits, slots=options.rows)
policy = grpo.TrainingPolicy(checkpoint.model, options)
actor.use(policy.rollout_model)

trainer = grpo.Trainer(policy, grpo.adamw(policy, options), actor.play, list(scenarios), options)
for _ in range(options.steps):
    result = trainer.step()
    rewards = [episode.reward for episode in result.episodes]
    print(f"step {result.step}: mean reward {sum(rewards) / len(rewards):.3f} over {len(rewards)} episodes")
