"""The loss of two hand-made episodes, from token ids to the gradient, with every value printed.

python docs/examples/loss_by_hand.py
"""

import torch

import grpo

checkpoint = grpo.load("tiny")
model, tokenizer = checkpoint.model, checkpoint.tokenizer

# Two siblings answer one prompt. The mask is 1 on the tokens that the policy sampled.
prompt = tokenizer.encode("Which label does the issue have?")
answers = [tokenizer.encode(" cloud-debt"), tokenizer.encode(" night-audit")]
sequences = [prompt + answer for answer in answers]
masks = [[0] * len(prompt) + [1] * len(answer) for answer in answers]

# Rewards [N, G] of N = 1 group with G = 2 siblings become advantages [N, G].
rewards = torch.tensor([[1.0, 0.0]])
advantages = grpo.ADVANTAGES["grpo"](rewards)
print("advantages", advantages.tolist())

# One packed row: the prompt once, then both answers. Log-probs [M] are of the M sampled tokens.
packed = grpo.pack(sequences, masks)
print(f"packed {packed.ids.shape[1]} tokens instead of {sum(map(len, sequences))}; sampled per episode {packed.counts}")
logprobs, entropy = grpo.token_logprobs(model, packed, grpo.Sampling())

options = grpo.Options()
tokens = grpo.Tokens(
    logprobs=logprobs,
    entropy=entropy,
    old=logprobs.detach(),  # no update yet, so the ratio is 1
    sampled=logprobs.detach(),  # as if the sampler had computed the same values
    reference=None,
    episode=torch.arange(2).repeat_interleave(torch.tensor(packed.counts)),
    advantages=advantages.flatten(),
)
_, normaliser = grpo.AGGREGATIONS[options.aggregation](torch.tensor(packed.counts), options.loss_constant)
loss, sums = grpo.policy_loss(tokens, options.loss, normaliser)
loss.backward()
norm = torch.stack([weight.grad.norm() for weight in model.parameters() if weight.grad is not None]).norm()
print(f"loss {loss.item():+.4f}, gradient norm {norm:.3f}, tokens {sums['tokens']:.0f}")
