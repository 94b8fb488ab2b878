"""Prints the values of docs/walkthrough.md: one task, from its request to the gradient.

python docs/examples/walkthrough.py
"""

import json

import torch

import grpo
from envs.scenarios import SCENARIOS

NAME = "ticket-transition"
options = grpo.Options(scenarios=[NAME], prompts_per_step=1, group_size=4, seed=0)
checkpoint = grpo.load("tiny")
actor = grpo.Actor.prepare(checkpoint, {NAME: SCENARIOS[NAME]}, options.limits, slots=4)
policy = grpo.TrainingPolicy(checkpoint.model, options)
trainer = grpo.Trainer(policy, grpo.adamw(policy, options), actor.play, [NAME], options)
decode = checkpoint.tokenizer.decode


def section(title: str) -> None:
    print(f"\n== {title}")


section("task")
seed = grpo.task_seed(options.seed, 0, 0)
task, env = SCENARIOS[NAME].task(seed, "train"), SCENARIOS[NAME].env(seed, "train")
goal = {name: value for name, value in task.goal.items() if name != "site"}
print(f"seed {seed}\n{env.reset().messages[-1]['content']}\n{json.dumps(goal)}")

section("prompt")
(group,) = trainer.rollout_groups([0], attempt=0)
first = group[0]
print(f"{first.prompt_length} tokens, the last ones {first.ids[first.prompt_length - 6 : first.prompt_length]}")
print(repr(decode(first.ids[first.prompt_length - 6 : first.prompt_length])))

section("episode")
print(decode(first.ids[first.prompt_length :]))
sampled = [place for place, bit in enumerate(first.mask) if bit]
print(f"{len(first.ids)} ids, {len(sampled)} of them sampled; stop reason {first.stop_reason.value}")
for place in sampled[:4]:
    id, logprob = first.ids[place], first.logprobs[place]
    print(f"position {place}  id {id:4}  {decode([id])!r:13} log-prob {logprob:.4f}")

section("traces")
for place, episode in enumerate(group):
    print(
        f"sibling {place}: reward {episode.reward:.3f} { ({k: round(v, 3) for k, v in episode.score.parts.items()}) }"
    )
    for call in episode.trace:
        print(f"    {call.status} {call.name or call.kind} {json.dumps(call.arguments)}")

section("advantages")
rewards = torch.tensor([[episode.reward for episode in group]], dtype=torch.float64)
print("rewards   ", [round(value, 3) for value in rewards[0].tolist()])
print("advantages", [round(value, 3) for value in grpo.ADVANTAGES["grpo"](rewards)[0].tolist()])

section("packing")
examples = trainer.examples([group])
packed = trainer.pack(examples)
print(f"{packed.ids.shape[1]} tokens in one row instead of {sum(len(episode.ids) for episode in group)}")
for node in packed.tree.nodes[:5]:
    print(f"node of tokens [{node.start}, {node.end}), its subtree ends at {node.stop}")
print(f"scored tokens per episode {packed.counts}, together M = {sum(packed.counts)}")

section("log-probs")
logprobs, entropy = policy(packed, options.sampling)
recorded = torch.tensor([value for example in examples for value in example.episode.sampled_logprobs])
print(f"log-probs {list(logprobs.shape)}, mean {logprobs.mean():.3f}; mean entropy {entropy.mean():.3f}")
print(f"largest difference to the sampler's below 1e-4: {bool((logprobs - recorded).abs().max() < 1e-4)}")

section("loss")
_, normaliser = grpo.AGGREGATIONS[options.aggregation](torch.tensor(packed.counts), options.loss_constant)
loss, sums = grpo.policy_loss(trainer.tokens(examples), options.loss, normaliser)
loss.backward()
print(f"loss {loss.item():+.4f} over {sums['tokens']:.0f} tokens")
print(f"ratio from {sums['ratio_min']:.0f} to {sums['ratio_max']:.0f}")
print(f"gradient norm {policy.clip(options.grad_clip):.3f}, limit {options.grad_clip}")
