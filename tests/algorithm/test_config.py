"""Options: where their values come from, and which are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grpo.cli.arguments import parse, read
from grpo.config import RECIPES, Options
from grpo.errors import OptionError
from tests.support.tiers import examples

FIELDS = [field.name for field in dataclasses.fields(Options)]


def file(folder: Path, values: Any, suffix: str = ".yaml") -> Path:
    path = folder / f"options{suffix}"
    path.write_text(json.dumps(values) if suffix == ".json" else yaml.safe_dump(values), encoding="utf-8")
    return path


# --- where values come from ----------------------------------------------------------------------------------------


def test_defaults_have_one_source() -> None:
    assert parse([]) == Options()


def test_every_field_is_documented_and_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(field.metadata["help"] for field in dataclasses.fields(Options))
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    assert all(f"--{name}" in page for name in FIELDS)
    assert not any(field.metadata["help"].startswith("of ") for field in dataclasses.fields(Options))
    assert "{none,k1_reward,k2,k3}" in page, "k1 is always refused"


def test_precedence_is_default_file_recipe_file_flag_recipe_flag(tmp_path: Path) -> None:
    """clip_high: default 0.28, gspo 4e-4, dapo 0.28; minibatches: default 1, gspo 4."""
    config = ["--config", str(file(tmp_path, {"recipe": "gspo", "clip_low": 0.15, "group_size": 5}))]
    from_file = parse(config)
    assert (from_file.ratio, from_file.clip_high, from_file.clip_low, from_file.group_size) == (
        "sequence",
        4e-4,
        0.15,
        5,
    )
    assert from_file.minibatches == 4
    with_flag = parse([*config, "--group_size", "7", "--clip-high", "0.5"])
    assert (with_flag.group_size, with_flag.clip_high, with_flag.clip_low) == (7, 0.5, 0.15)
    other_recipe = parse([*config, "--recipe", "dapo", "--clip_low", "0.1"])
    assert (other_recipe.recipe, other_recipe.clip_high, other_recipe.clip_low) == ("dapo", 0.28, 0.1)
    assert other_recipe.mask_truncated and other_recipe.group_size == 5


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_another_recipe_over_the_configuration_of_a_run_is_that_recipe_alone(recipe: str, tmp_path: Path) -> None:
    before = parse(["--recipe", "gspo", "--steps", "7"])
    config = ["--config", str(file(tmp_path, dataclasses.asdict(before)))]
    assert parse(config) == before
    assert parse([*config, "--recipe", recipe]) == parse(["--recipe", recipe, "--steps", "7"])


def test_a_boolean_can_be_set_and_unset_by_each_source(tmp_path: Path) -> None:
    config = ["--config", str(file(tmp_path, {"mask_truncated": True, "thinking": True}))]
    assert parse(config).mask_truncated and parse(config).thinking is True
    assert not parse([*config, "--mask_truncated", "false"]).mask_truncated
    assert parse([*config, "--thinking", "no"]).thinking is False
    assert parse(["--mask_truncated"]).mask_truncated
    assert not parse(["--recipe", "dapo", "--mask_truncated", "false"]).mask_truncated
    off = ["--config", str(file(tmp_path, {"recipe": "dapo", "mask_truncated": False, "thinking": None}))]
    assert not parse(off).mask_truncated and parse(off).thinking is None


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_resolved_configuration_reads_back(tmp_path: Path, suffix: str) -> None:
    options = parse(["--recipe", "rloo", "--scenarios", "one", "two", "--seed", "3", "--learning_rate", "1e-5"])
    assert parse(["--config", str(file(tmp_path, dataclasses.asdict(options), suffix))]) == options


def test_numbers_that_yaml_reads_as_text(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text("learning_rate: 1e-5\nclip_high: 1\n", encoding="utf-8")
    assert read(path) == {"learning_rate": 1e-5, "clip_high": 1.0}
    assert parse(["--config", str(path)]).learning_rate == 1e-5


@settings(max_examples=examples(30), deadline=None)
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 99),
            "temperature": st.floats(0.1, 2),
            "mask_truncated": st.booleans(),
            "scenarios": st.lists(st.sampled_from(["a", "b-c", "all"]), min_size=1, max_size=3),
            "aggregation": st.sampled_from(["token_mean", "sequence_mean"]),
            "env": st.sampled_from(["package.module:factory"]),
        },
    ),
    in_file=st.sets(st.sampled_from(FIELDS)),
)
def test_a_value_means_the_same_in_a_file_and_as_a_flag(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], in_file: set[str]
) -> None:
    path = file(tmp_path_factory.mktemp("config"), {name: one for name, one in values.items() if name in in_file})
    flags = ["--config", str(path)]
    for name, value in values.items():
        texts = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        flags += [] if name in in_file else [f"--{name}", *texts]
    assert parse(flags) == Options(**values)


def test_no_hidden_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HfArgumentParser reads PROGRAM.args beside the program unless told otherwise; ours must not."""
    (tmp_path / "grpo.args").write_text("--seed 9", encoding="utf-8")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "grpo")])
    assert parse([]).seed == 0


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_presets_are_valid_and_take_effect(recipe: str) -> None:
    options = parse(["--recipe", recipe])
    assert {name: getattr(options, name) for name in RECIPES[recipe]} == RECIPES[recipe]
    assert options.recipe == recipe


# --- refusals -----------------------------------------------------------------------------------------------------

CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"scenarios": []}, "nothing to train on", "give all"),
    ({"group_size": 1}, "compares siblings", "pass_through"),
    ({"group_size": 1, "advantage": "pass_through", "dynamic_sampling": 1}, "equal rewards", "take 2 or more"),
    ({"kl": "k1", "kl_coef": 0.1}, "expected gradient of zero", "k1_reward"),
    ({"kl": "k3"}, "no effect with kl_coef 0", "give kl_coef"),
    ({"kl_coef": 0.1}, "no effect with kl none", "choose k2"),
    ({"kl": "k2", "kl_coef": 0.1, "top_p": 0.9}, "infinite", "temperature only"),
    ({"kl": "k1_reward", "kl_coef": 0.1, "min_p": 0.1}, "infinite", "temperature only"),
    ({"aggregation": "constant"}, "loss_constant, which is 0", "longest response"),
    ({"loss_constant": 5}, "no effect", "aggregation constant"),
    ({"minibatches": 11}, "some would be empty", "lower minibatches"),
    ({"max_turn_tokens": 99, "max_episode_tokens": 98}, "no turn could use", "lower it"),
    ({"steps": 5, "warmup_steps": 6}, "outlast", "raise steps"),
    ({"lora_rank": 8, "shard": "full"}, "too small to shard", "shard none"),
    ({"temperature": 0.0}, "temperature is 0.0", "at least 0.001"),
    ({"temperature": 1e-300}, "temperature is 1e-300", "at least 0.001"),
    ({"learning_rate": float("nan")}, "learning_rate is nan", "finite"),
    ({"grad_clip": float("inf")}, "grad_clip is inf", "finite"),
    ({"top_p": 1.5}, "top_p is 1.5", "at most 1"),
    ({"beta2": 1.0}, "beta2 is 1.0", "below 1"),
    ({"seed": -1}, "seed is -1", "at least 0"),
    ({"rows": 0}, "rows is 0", "at least 1"),
    ({"advantage": "magic"}, "'magic' is not known", "dr_grpo"),
    ({"recipe": "magic"}, "'magic' is not known", "dapo"),
    ({"schedule": "magic"}, "'magic' is not known", "cosine"),
    ({"kl": "magic"}, "'magic' is not known", "choose one of none, k1_reward, k2, k3"),
]


@pytest.mark.parametrize(("values", "reason", "remedy"), CONTRADICTIONS, ids=lambda value: str(value)[:40])
def test_a_contradiction_is_refused_with_reason_and_remedy(values: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(OptionError) as refusal:
        Options(**values)
    assert reason in str(refusal.value) and remedy in str(refusal.value)


def test_every_refusal_names_an_option_that_mends_it() -> None:
    """The remedies work."""
    Options(group_size=1, advantage="pass_through")
    Options(kl="k1_reward", kl_coef=0.1)
    Options(aggregation="constant", loss_constant=256)
    Options(minibatches=11, prompts_per_step=11)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--sed 3", "did you mean seed"),
        ("--clip-hgih 3", "did you mean clip_high"),
        ("--zzz 3", "--help"),
        ("stray", "unexpected argument 'stray'"),
        ("--seed 3 stray", "unexpected argument 'stray'"),
        ("--seed three", "invalid int value"),
        ("--seed", "expected one argument"),
        ("--mask_truncated maybe", "maybe"),
        ("--recipe magic", "grpo, dr_grpo"),
        ("--aggregation magic", "token_mean"),
        ("--config nowhere.yaml", "cannot be read"),
        ("--tem 0.5", "unknown option --tem"),
        ("--shard full", "no effect in a single process"),
        ("--shard hybrid --processes 1", "torchrun"),
    ],
)
def test_bad_flags_are_one_clear_line(flags: str, message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        parse(flags.split())
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


def test_sharding_is_refused_only_where_it_has_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was sharded can be resumed by one process with its options unchanged."""
    assert parse(["--shard", "full", "--processes", "2"]).shard == "full"
    assert parse(["--config", str(file(tmp_path, {"shard": "hybrid"}))]).shard == "hybrid"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert parse(["--shard", "full"]).shard == "full"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sed: 3", "did you mean seed"),
        ("3: 3", "unknown option 3"),
        ("seed: three", "seed is 'three'; it has to be a whole number"),
        ("seed: 3.5", "seed is 3.5; it has to be a whole number"),
        ("seed: true", "seed is True; it has to be a whole number"),
        ("seed: -3", "at least 0"),
        ("mask_truncated: 1", "it has to be true or false"),
        ("temperature: warm", "it has to be a number"),
        ("temperature: true", "it has to be a number"),
        ("temperature: [1]", "it has to be a number"),
        ("scenarios: all", "a list of strings"),
        ("scenarios: [1]", "a list of strings"),
        ('group_size: "16"', "group_size is '16'; it has to be a whole number"),
        ("env: 3", "it has to be text or null"),
        ("model: 3", "it has to be text"),
        ("thinking: 1", "it has to be true or false or null"),
        ("recipe: magic", "not known"),
        ("kl: k1\nkl_coef: 0.1", "regularises nothing"),
        ("- seed", "holds no mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OptionError) as refusal:
        parse(["--config", str(path)])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
