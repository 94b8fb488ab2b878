"""The output of `grpo play` and `grpo evaluate`, and their one-line messages for bad input."""

import io
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from envs.protocol import Observation, Tool, Turn
from envs.scenarios import NAMES, SCENARIOS
from envs.scripts import oracle_turns
from grpo.cli import evaluate
from grpo.cli.main import main
from grpo.errors import UserError
from rewards.score import Score
from rewards.trace import Call, Kind

ROOT = Path(__file__).parents[2]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `grpo ARGUMENTS`."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def play_json(capsys, *arguments: str) -> dict:
    status, out, err = run(capsys, "play", *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def oracle_calls(name: str, seed: int) -> list[dict]:
    """The entries of a file of calls, the closing answer included."""
    *turns, answer = oracle_turns(SCENARIOS[name], seed, "train")
    calls = [{"name": call.name, "arguments": call.arguments} for turn in turns for call in turn.calls]
    return [*calls, {"answer": answer.content}]


@pytest.fixture
def file(tmp_path):
    def write(content) -> str:
        path = tmp_path / "calls.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("name", SCENARIOS)
def test_json_of_an_episode_has_the_documented_shape(capsys, name):
    episode = play_json(capsys, name, "--seed", "4", "--policy", "oracle", "--goal")
    assert set(episode) == {"prompt", "tools", "calls", "responses", "answer", "score", "goal"}
    assert episode["prompt"] == episode["goal"]["request"]
    assert all(tool["type"] == "function" and tool["function"]["parameters"] for tool in episode["tools"])
    assert all(set(call) == {"name", "arguments", "turn"} for call in episode["calls"])
    assert all(set(response) == {"status", "body"} for response in episode["responses"])
    assert len(episode["calls"]) == len(episode["responses"]) > 0
    assert set(episode["score"]) == {"total", "parts"}
    assert episode["score"]["total"] == 1.0


def test_goal_is_shown_only_when_asked_for(capsys):
    assert "goal" not in play_json(capsys, "issue-read", "--policy", "idle")


@pytest.mark.parametrize("name", NAMES)
def test_calls_from_a_file_play_like_the_script_that_made_them(capsys, file, name):
    from_file = play_json(capsys, name, "--seed", "7", "--calls", file(oracle_calls(name, 7)))
    assert from_file == play_json(capsys, name, "--seed", "7", "--policy", "oracle")
    missing_one = play_json(capsys, name, "--seed", "7", "--calls", file(oracle_calls(name, 7)[:-2]))
    assert missing_one["score"]["total"] < 1.0


def test_a_list_in_a_file_is_one_turn(capsys, file):
    """An id that only a response of the same turn shows is a guess."""
    plays = {seed: oracle_calls("ticket-transition", seed) for seed in range(20)}
    seed, (look, write, *rest) = next(
        (str(seed), play) for seed, play in plays.items() if play[0]["name"] == "getTransitions" and len(play) == 3
    )
    apart = play_json(capsys, "ticket-transition", "--seed", seed, "--calls", file([look, write, *rest]))
    together = play_json(capsys, "ticket-transition", "--seed", seed, "--calls", file([[look, write], *rest]))
    assert apart["score"]["total"] == 1.0 > together["score"]["total"]
    assert [call["turn"] for call in together["calls"][:2]] == [0, 0]


def test_empty_list_of_calls_scores_zero(capsys, file):
    episode = play_json(capsys, "issue-labels", "--calls", file([]))
    assert episode["calls"] == [] and episode["score"]["total"] == 0.0


def test_splits_and_seeds_show_different_tasks(capsys):
    prompts = {
        play_json(capsys, "page-create", "--seed", seed, "--split", split, "--policy", "idle")["prompt"]
        for seed in ("0", "1")
        for split in ("train", "heldout")
    }
    assert len(prompts) == 4


def test_terminal_takes_calls_and_shows_responses(capsys, monkeypatch):
    call, *_ = oracle_calls("ticket-transition", 3)
    typed = [json.dumps(call), "not JSON", json.dumps([{"name": "noSuchTool", "arguments": {}}]), "", "never read"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(typed)))
    status, out, _ = run(capsys, "play", "ticket-transition", "--seed", "3")
    assert status == 0
    assert f"{call['name']}(" in out and "\n200 {" in out
    assert "\n400 {" in out and "\n404 {" in out
    assert "score 0." in out and "never read" not in out


def test_terminal_records_what_cannot_be_read_as_malformed(capsys, monkeypatch):
    for text in ('{"name": 3}', "[1]", "NaN", "{", '{"a"', "[" * 100_000):
        monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
        episode = play_json(capsys, "issue-read")
        assert [call["name"] for call in episode["calls"]] == [""]
        assert episode["calls"][0]["arguments"] == text
        assert episode["responses"][0]["status"] == 400


def test_text_shows_request_tools_and_score(capsys):
    status, out, _ = run(capsys, "play", "issue-create", "--policy", "oracle", "--goal")
    assert status == 0
    assert "[user]" in out and "createIssue(fields, update?) [write]" in out and "goal: {" in out
    assert "score 1.000" in out and "arguments" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("play", "no-such-scenario"),
        ("play", "issue-read", "--seed", "-1"),
        ("play", "issue-read", "--seed", "1.5"),
        ("play", "issue-read", "--seed", "many"),
        ("play", "issue-read", "--split", "test"),
        ("play", "issue-read", "--policy", "clever"),
        ("play", "issue-read", "--calls", "no-such-file.json"),
        ("play", "issue-read", "--frobnicate"),
        ("play",),
        ("play", "all"),
        ("play", ""),
        ("play", "issue-read", "--calls", ""),
        ("play", "--env", "nothing"),
        ("play", "--env", ".:factory"),
        ("play", "--env", "..tests:factory"),
        ("play", "--env", "tests.cli.test_cli:CountingEnv"),
        ("play", "--env", "tests.cli.test_cli:Labelled"),
        ("play", "--env", "tests.cli.test_cli:play_json"),
        ("play", "--env", "no.such.module:factory"),
        ("play", "--env", "grpo.types:missing"),
        ("play", "--env", "grpo.cli.main:COMMANDS"),
        ("play", "--env", "tests.cli.test_cli:no_scenario"),
        ("play", "issue-read", "--env", "tests.cli.test_cli:counting"),
        ("play", "--env", "tests.cli.test_cli:counting", "--policy", "oracle"),
        ("play", "--env", "tests.cli.test_cli:counting", "--policy", "idle", "--goal"),
        ("evaluate", "--policy", "oracle", "--scenario", "no-such-scenario"),
        ("evaluate", "--policy", "oracle", "--tasks", "0"),
        ("evaluate", "--policy", "oracle", "--seed", "x"),
        ("evaluate", "--policy", "no-such-policy"),
        ("evaluate", "--policy", ""),
        ("evaluate", "--policy", "tiny", "--temperature", "0"),
        ("evaluate", "--policy", "tiny", "--temperature", "1e-300"),
        ("evaluate", "--policy", "tiny", "--thinking", "maybe"),
        ("evaluate", "--policy", "tiny", "--temperature", "1", "--greedy"),
        ("evaluate",),
        ("bench", "everything"),
        ("no-such-command",),
        (),
    ],
)
def test_bad_input_gets_one_line_and_status_2(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("grpo")
    assert "COMMAND, arguments" not in err


@pytest.mark.parametrize(
    "content",
    ["", "{}", '"text"', "3", "null", "[1]", "[[]]", '[{"arguments": {}}]', '[{"name": 1}]', "[NaN]", "[" * 9999],
)
def test_a_file_without_a_list_of_calls_is_refused(capsys, file, content):
    status, out, err = run(capsys, "play", "issue-read", "--calls", file(content))
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_evaluation_has_the_documented_shape(capsys):
    status, out, _ = run(
        capsys, "evaluate", "--policy", "noisy", "--scenario", "issue-read", "page-create", "--tasks", "12",
        "--seed", "5", "--split", "heldout", "--json",
    )  # fmt: skip
    evaluation = json.loads(out)
    assert status == 0
    assert list(evaluation) == ["policy", "split", "seed", "scenarios"]
    assert (evaluation["policy"], evaluation["split"], evaluation["seed"]) == ("noisy", "heldout", 5)
    assert list(evaluation["scenarios"]) == ["issue-read", "page-create"]
    for row in evaluation["scenarios"].values():
        assert list(row) == ["tasks", "reward_mean", "reward_ci95", "success_rate", "parts"]
        low, high = row["reward_ci95"]
        assert row["tasks"] == 12 and 0.0 <= low <= row["reward_mean"] <= high <= 1.0
        assert abs(sum(row["parts"].values()) - row["reward_mean"]) < 1e-9


def test_evaluation_plays_the_tasks_that_play_shows(capsys):
    totals = [
        play_json(capsys, "issue-labels", "--seed", str(seed), "--split", "heldout", "--policy", "noisy")["score"][
            "total"
        ]
        for seed in range(3, 9)
    ]
    arguments = ("--scenario", "issue-labels", "--tasks", "6", "--seed", "3", "--json")
    _, out, _ = run(capsys, "evaluate", "--policy", "noisy", *arguments)
    row = json.loads(out)["scenarios"]["issue-labels"]
    assert abs(row["reward_mean"] - sum(totals) / 6) < 1e-12
    assert row["success_rate"] == sum(total == 1.0 for total in totals) / 6


def test_all_is_the_five_without_the_saturated_one(capsys):
    _, out, _ = run(capsys, "evaluate", "--policy", "idle", "--scenario", "all", "--tasks", "2", "--json")
    assert tuple(json.loads(out)["scenarios"]) == NAMES
    assert "ticket-transition-saturated" in SCENARIOS and "ticket-transition-saturated" not in NAMES


def test_evaluation_table_names_every_scenario(capsys):
    status, out, _ = run(capsys, "evaluate", "--policy", "oracle", "--tasks", "2")
    assert status == 0
    assert all(name in out for name in NAMES) and "1.000" in out


class Counting:
    """A custom environment: the reward is the number of calls divided by four, at most 1."""

    name = "counting"

    def env(self, seed, split):
        return CountingEnv()


class CountingEnv:
    tools = (Tool("count", "Counts.", {"type": "object", "properties": {}}, "write"),)

    def __init__(self):
        self.trace: tuple[Call, ...] = ()

    def reset(self):
        return Observation(({"role": "user", "content": "Count to four."},))

    def step(self, turn: Turn):
        self.trace += tuple(Call(call.name, call.arguments, 200, {}, Kind.WRITE) for call in turn.calls)
        return Observation(({"role": "tool", "content": "{}"},) * len(turn.calls), done=not turn.calls)

    def score(self):
        total = min(len(self.trace), 4) / 4
        return Score(total, {"calls": total})


class Labelled(Counting):
    """A user's mistake: a factory that needs an argument."""

    def __init__(self, label):
        self.label = label


class Endless(CountingEnv):
    """Never ends."""

    def step(self, turn):
        super().step(turn)
        return Observation(({"role": "user", "content": "Go on."},))


def counting():
    return Counting()


def with_env(monkeypatch, env):
    """The flag `--env` for a scenario whose environments `env` makes."""
    monkeypatch.setattr(Counting, "env", lambda self, seed, split: env())
    return "--env", "tests.cli.test_cli:counting"


def bad(**members):
    """An environment with some members replaced by wrong ones."""
    return type("Bad", (CountingEnv,), members)


def returns(*messages, done=False):
    return lambda *_: Observation(messages, done)


BODIES = {"when": datetime(2026, 1, 1)}
USER = {"role": "user", "content": "Go."}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (lambda: None, "returned None without reset(), step(), score()"),
        (bad(tools=({"name": "count"},)), "tools contains a dict"),
        (bad(tools=None), "tools is None"),
        (bad(reset=lambda self: None), "reset() returned None"),
        (bad(reset=lambda self: "Go."), "reset() returned a str"),
        (bad(reset=lambda self: [USER]), "reset() returned a list"),
        (bad(reset=returns()), "reset() returned no message"),
        (bad(reset=returns(USER, done=True)), "reset() returned done=True"),
        (bad(reset=returns({"role": "user", "content": {"text": "Go."}})), "reset() returned the message"),
        (bad(reset=returns("Go.")), "reset() returned the message 'Go.'"),
        (bad(step=lambda self, turn: None), "step() returned None"),
        (bad(step=returns()), "step() returned no message"),
        (bad(score=lambda self: 0.5), "score() returned a float"),
        (bad(score=lambda self: Score(0.5, {"calls": None})), "the part 'calls': None"),
        (bad(step=lambda self, turn: setattr(self, "trace", [{}]) or Observation((USER,))), "trace contains a dict"),
        (
            bad(
                step=lambda self, turn: (
                    setattr(self, "trace", (Call("count", {}, 200, BODIES, Kind.READ),)) or Observation((USER,))
                )
            ),
            "the body of count in the trace is not JSON",
        ),
    ],
)
def test_a_wrong_answer_of_a_custom_environment_is_named(capsys, monkeypatch, env, message):
    status, out, err = run(capsys, "play", *with_env(monkeypatch, env), "--policy", "idle")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("grpo play: scenario 'counting': ") and message in err


def test_a_wrong_answer_after_the_start_is_named(capsys, monkeypatch, file):
    env = bad(step=lambda self, turn: None if len(turn.calls) > 1 else CountingEnv.step(self, turn))
    monkeypatch.setattr("sys.stdin", io.StringIO('[{"name": "count"}, {"name": "count"}]'))
    status, _, err = run(capsys, "play", *with_env(monkeypatch, env))
    assert status == 2 and "scenario 'counting': step() returned None" in err


def test_an_exception_of_a_custom_environment_keeps_its_traceback(capsys, monkeypatch):
    def broken():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        main(["play", *with_env(monkeypatch, broken), "--policy", "idle"])
    assert capsys.readouterr().err == "--env tests.cli.test_cli:counting raised an exception while it was loaded:\n"


def test_a_custom_environment_may_have_more_than_the_protocol(capsys, monkeypatch):
    env = with_env(monkeypatch, bad(task=SimpleNamespace(goal="four")))
    assert play_json(capsys, *env, "--policy", "idle", "--goal")["goal"] == "four"


@pytest.mark.parametrize("typed", ["", "\n", '{"name": "count"}'])
def test_the_end_of_the_input_ends_the_episode(capsys, monkeypatch, file, typed):
    env = with_env(monkeypatch, Endless)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    calls = 1 if typed.strip() else 0
    assert len(play_json(capsys, *env)["calls"]) == calls
    listed = file([{"name": "count"}] * calls)
    assert play_json(capsys, *env, "--calls", listed)["score"]["total"] == calls / 4
    assert len(play_json(capsys, *env, "--policy", "random")["calls"]) == 4


def test_a_person_is_shown_a_call(capsys, monkeypatch):
    schema = {"type": "object", "properties": {"key": {"type": "string"}, "by": {"type": "integer"}, "no": {}}}
    tool = Tool("count", "Counts.", schema | {"required": ["key", "by"]}, "write")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    _, out, _ = run(capsys, "play", *with_env(monkeypatch, bad(tools=(tool,))))
    (example,) = [line for line in out.splitlines() if line.startswith("{")]
    assert json.loads(example) == {"name": "count", "arguments": {"key": "...", "by": 1}}


def test_evaluation_takes_the_spellings_of_training():
    parse = evaluate.parser().parse_args
    values = parse("--policy tiny --max_turn_tokens 7 --max_turns 3 --thinking false".split())
    same = parse("--policy tiny --max-turn-tokens 7 --max-turns 3 --no-thinking".split())
    assert values == same and values.thinking is False
    assert parse(["--policy", "tiny", "--thinking"]).thinking is True and parse(["--policy", "tiny"]).thinking is None


def no_scenario():
    return object()


def test_a_custom_environment_is_played_and_evaluated(capsys, file):
    env = ("--env", "tests.cli.test_cli:counting")
    assert play_json(capsys, *env, "--policy", "random")["score"]["total"] == 1.0
    assert play_json(capsys, "counting", *env, "--calls", file([{"name": "count"}]))["score"]["total"] == 0.25
    _, out, _ = run(capsys, "evaluate", *env, "--policy", "idle", "--tasks", "3", "--json")
    assert json.loads(out)["scenarios"]["counting"]["reward_mean"] == 0.0


def test_a_model_is_evaluated_in_the_precision_of_training(monkeypatch):
    """bf16 on a GPU, where fp32 would take twice the memory; fp32 on a CPU."""
    types = []

    def load(name, dtype, device):
        types.append(dtype)
        raise UserError("enough")

    monkeypatch.setattr("grpo.models.checkpoint.load", load)
    for gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert main(["evaluate", "--policy", "tiny"]) == 2
    assert types == [torch.float32, torch.bfloat16]


def test_bench_prints_whether_episodes_are_under_the_limit(capsys):
    status, out, _ = run(capsys, "bench", "env", "--tasks", "2")
    assert status == 0
    assert "under 2 ms" in out.lower() and all(name in out for name in NAMES)
    _, out, _ = run(capsys, "bench", "env", "--tasks", "2", "--json")
    assert [row["scenario"] for row in json.loads(out)] == list(NAMES)


def test_module_runs_as_a_program_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m grpo play issue-read --policy oracle | head -1"
    result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.startswith("[system]") and "Traceback" not in result.stderr


def test_same_command_prints_the_same_under_another_hash_seed():
    command = [sys.executable, "-m", "grpo", "play", "page-create", "--seed", "9", "--policy", "noisy", "--json"]
    printed = {
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
