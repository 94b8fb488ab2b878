"""Published variants as named presets over the options of `grpo.config.Options`.

A preset says what its paper says about the loss and the groups; the learning rate and the batch stay with the user,
since they belong to a model. A flag or a configuration file overrides the preset. `docs/algorithm.md` writes the
equations out.
"""

from __future__ import annotations

from typing import Any

LAPTOP: dict[str, Any] = {}
"""The defaults of `Options`, found on the embedded policy: GRPO's advantages, DAPO's clip and token mean, no KL."""

GRPO: dict[str, Any] = dict(
    advantage="grpo", clip_low=0.2, clip_high=0.2, kl="k3", kl_coef=0.04, aggregation="sequence_mean"
)
"""DeepSeekMath (arXiv 2402.03300), section 4."""

DR_GRPO: dict[str, Any] = dict(
    advantage="dr_grpo", clip_low=0.2, clip_high=0.2, aggregation="constant", loss_constant=256
)
"""Dr. GRPO (arXiv 2503.20783): no deviation, no length bias, no KL. Its constant is the longest response allowed."""

DAPO: dict[str, Any] = dict(
    advantage="grpo", clip_low=0.2, clip_high=0.28, aggregation="token_mean", mask_truncated=True, dynamic_sampling=4
)
"""DAPO (arXiv 2503.14476), with overlong filtering and without the soft length penalty: no reward but the checker's."""

GSPO: dict[str, Any] = dict(
    advantage="grpo", ratio="sequence", clip_low=3e-4, clip_high=4e-4, aggregation="sequence_mean", minibatches=4
)
"""GSPO (arXiv 2507.18071), section 5.1: a batch in four mini-batches, clips of 3e-4 and 4e-4."""

CISPO: dict[str, Any] = dict(
    advantage="grpo", objective="cispo", clip_low=1.0, clip_high=4.0, aggregation="token_mean", minibatches=4
)
"""CISPO, MiniMax-M1 (arXiv 2506.13585): no lower bound; for the upper one, which the paper tunes without naming a
number, weights of at most 5."""

RLOO: dict[str, Any] = dict(advantage="rloo", kl="k1_reward", kl_coef=0.05, aggregation="constant", loss_constant=256)
"""RLOO (arXiv 2402.14740): REINFORCE on whole episodes, KL in the reward. The constant only scales the gradient."""

RECIPES = dict(laptop=LAPTOP, grpo=GRPO, dr_grpo=DR_GRPO, dapo=DAPO, gspo=GSPO, cispo=CISPO, rloo=RLOO)
