"""`grpo plan`: the memory that a training run takes, before anybody starts one."""

from __future__ import annotations

from collections.abc import Sequence

from grpo.cli.arguments import parse_run
from grpo.cli.parser import Parser, natural, positive, positive_number
from grpo.config import Options
from grpo.run.memory import Plan, plan

GB = 1e9


def main(arguments: Sequence[str]) -> int:
    """Prints the plan. Exit status 1 means that it does not fit."""
    parser = Parser(prog="grpo plan")
    machines = parser.add_argument_group("the machines to plan for; all other options are those of grpo train")
    machines.add_argument("--gpus", type=natural, default=0, help="GPUs of the run; 0 is one process on a CPU")
    machines.add_argument("--gpu_gb", type=positive_number, default=80.0, help="memory of each GPU in GB")
    machines.add_argument("--gpus_per_node", type=positive, default=8, help="GPUs in each machine")
    options, values = parse_run(arguments, parser)
    result = plan(options, values.gpus, values.gpus_per_node)
    print(f"{options.model} on {f'each of {values.gpus} GPUs' if values.gpus else 'the process'}, GB:")
    for name, size in zip(result._fields, result, strict=True):
        print(f"{name.replace('_', ' '):14} {size / GB:9.3f}")
    print(f"{'peak':14} {result.peak / GB:9.3f}  (rollouts and updates take turns)")
    if not values.gpus:
        return 0
    if result.peak <= 0.95 * values.gpu_gb * GB:
        print(f"fits into {values.gpu_gb:g} GB")
        return 0
    print(f"does not fit into {values.gpu_gb:g} GB: {advice(result, options)}")
    return 1


def advice(result: Plan, options: Options) -> str:
    """What to change, the most useful first."""
    update = result.gradients + result.activations > result.cache
    if update and result.activations > result.weights and not options.gradient_checkpointing:
        return "give --gradient_checkpointing true"
    if not update:
        return f"lower --rows from {options.rows} or --max_episode_tokens from {options.max_episode_tokens}"
    if not options.lora_rank and result.optimizer + result.gradients > result.activations:
        return "take more GPUs, --optimizer_states bf16, or --lora_rank 32"
    return f"lower --token_budget from {options.token_budget}"
