"""The algorithm stays small enough to be read in one sitting."""

from pathlib import Path

GRPO = Path(__file__).parent.parent / "grpo"
BUDGET = 1500
ALGORITHM = (
    "advantages.py",
    "attention.py",
    "config.py",
    "generation.py",
    "losses.py",
    "policy.py",
    "recipes.py",
    "rollout.py",
    "sampling.py",
    "trainer.py",
    "types.py",
)
AROUND_IT = {
    "command line": (
        "__init__.py",
        "__main__.py",
        "bench.py",
        "cli.py",
        "evaluate.py",
        "play.py",
        "scenarios.py",
        "train.py",
    ),
    "reporting": ("report.py", "statistics.py"),
    "chat formats": ("chat.py", "tool_calls.py"),
    "checkpoints and the embedded policy": ("checkpoint.py", "warmstart.py"),
}


def lines(files: tuple[str, ...], folder: Path = GRPO) -> int:
    """All lines of the files: code, comments, docstrings and blanks."""
    return sum(len((folder / name).read_text(encoding="utf-8").splitlines()) for name in files)


def test_algorithm_is_within_its_budget(capsys):
    count = lines(ALGORITHM)
    with capsys.disabled():
        print(f"\nalgorithm part of grpo/: {count} lines of {BUDGET}: {', '.join(ALGORITHM)}")
    assert count < BUDGET


def test_every_file_is_counted_or_named_as_outside():
    """A new module has to be put in one of the lists."""
    outside = [name for names in AROUND_IT.values() for name in names]
    assert sorted([*ALGORITHM, *outside]) == sorted(path.relative_to(GRPO).as_posix() for path in GRPO.rglob("*.py"))


def test_count_can_exceed_the_budget(tmp_path):
    (tmp_path / "long.py").write_text("x = 1\n" * BUDGET, encoding="utf-8")
    assert lines(("long.py",), tmp_path) == BUDGET
