"""The public names of `grpo`, each documented in its module."""

# Options and errors
# Environments
from envs.protocol import Env as Env
from envs.protocol import Message as Message
from envs.protocol import Observation as Observation
from envs.protocol import Scenario as Scenario
from envs.protocol import Split as Split
from envs.protocol import Tool as Tool
from envs.protocol import ToolCall as ToolCall
from envs.protocol import Turn as Turn

# The algorithm
from grpo.advantages import ADVANTAGES as ADVANTAGES
from grpo.config import RECIPES as RECIPES
from grpo.config import Options as Options
from grpo.errors import ChatFormatError as ChatFormatError
from grpo.errors import NonFiniteError as NonFiniteError
from grpo.errors import OptionError as OptionError
from grpo.errors import UnsupportedModel as UnsupportedModel
from grpo.errors import UserError as UserError
from grpo.keys import stream_key as stream_key
from grpo.keys import task_seed as task_seed
from grpo.logprobs import token_logprobs as token_logprobs
from grpo.losses import AGGREGATIONS as AGGREGATIONS
from grpo.losses import KLS as KLS
from grpo.losses import OBJECTIVES as OBJECTIVES
from grpo.losses import RATIOS as RATIOS
from grpo.losses import LossConfig as LossConfig
from grpo.losses import Tokens as Tokens
from grpo.losses import policy_loss as policy_loss

# Models
from grpo.models.causal_lm import CausalLM as CausalLM
from grpo.models.checkpoint import Checkpoint as Checkpoint
from grpo.models.checkpoint import load as load
from grpo.models.checkpoint import save as save
from grpo.models.compatibility import prepare as prepare
from grpo.packing import Packed as Packed
from grpo.packing import pack as pack
from grpo.packing import pad as pad

# Rollouts and the trained policy
from grpo.parallel.actor import Actor as Actor
from grpo.parallel.optimizer import adamw as adamw
from grpo.parallel.policy import TrainingPolicy as TrainingPolicy
from grpo.parallel.protocol import Policy as Policy
from grpo.parallel.ranks import Ranks as Ranks

# Runs and evaluations
from grpo.run.environments import load_scenarios as load_scenarios
from grpo.run.evaluation import Tasks as Tasks
from grpo.run.evaluation import evaluate_model as evaluate_model
from grpo.run.evaluation import evaluate_script as evaluate_script
from grpo.run.training import RunResult as RunResult
from grpo.run.training import train as train
from grpo.trainer import Example as Example
from grpo.trainer import StepResult as StepResult
from grpo.trainer import Trainer as Trainer

# Values
from grpo.types import Episode as Episode
from grpo.types import Limits as Limits
from grpo.types import Request as Request
from grpo.types import Sampling as Sampling
from grpo.types import StopReason as StopReason
from rewards.score import Score as Score
from rewards.trace import Call as Call
from rewards.trace import Kind as Kind

__version__: str
