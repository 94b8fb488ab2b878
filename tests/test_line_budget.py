"""The algorithm stays small enough to be read in one sitting."""

import ast
import io
import tokenize
from pathlib import Path

GRPO = Path(__file__).parent.parent / "grpo"
BUDGET = 1450
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
ALGORITHM = (
    "advantages.py",
    "attention.py",
    "config.py",
    "decode.py",
    "generation.py",
    "kv_cache.py",
    "losses.py",
    "optimizer.py",
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
        "cli.py",
        "evaluate.py",
        "flags.py",
        "own_env.py",
        "plan.py",
        "play.py",
        "refusals.py",
        "scenarios.py",
    ),
    "measuring": tuple(
        f"bench/{name}.py"
        for name in ("__init__", "env", "generation", "logprob", "measure", "models", "step", "update")
    ),
    "reporting": ("folder.py", "hints.py", "metrics.py", "report.py", "statistics.py"),
    "precision, memory and layout of the weights": ("adapters.py", "half_adamw.py", "learner.py"),
    "the same forward pass in fewer operations": ("fused.py", "graphs.py", "swapped.py"),
    "chat formats": ("chat.py", "tool_calls.py"),
    "loading, saving and putting together": (
        "checkpoint.py",
        "player.py",
        "ranks.py",
        "snapshots.py",
        "supported.py",
        "train.py",
    ),
    "models that are partly recurrent": ("branches.py", "recurrent.py"),
    "making the embedded policy": ("demonstrations.py", "tiny_tokenizer.py", "warmstart.py"),
}


def code_lines(source: str) -> int:
    """Lines that hold code: blank lines, comments and docstrings left out, since equations and papers stand there."""
    tree = ast.parse(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    documentation = {line for text in texts for line in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in LAYOUT for line in range(token.start[0], token.end[0] + 1)}
    return len(code - documentation)


def test_algorithm_is_within_its_budget(capsys):
    sources = [(GRPO / name).read_text(encoding="utf-8") for name in ALGORITHM]
    count, physical = sum(map(code_lines, sources)), sum(len(source.splitlines()) for source in sources)
    with capsys.disabled():
        print(
            f"\nalgorithm part of grpo/: {count} lines of code (with documentation {physical}): {', '.join(ALGORITHM)}"
        )
    assert count < BUDGET


def test_every_file_is_counted_or_named_as_outside():
    """A new module has to be put in one of the lists."""
    outside = [name for names in AROUND_IT.values() for name in names]
    assert sorted([*ALGORITHM, *outside]) == sorted(path.relative_to(GRPO).as_posix() for path in GRPO.rglob("*.py"))


def test_code_is_counted_and_documentation_is_not():
    source = '"""A module.\n\nMore.\n"""\n\n# why\nx = 1  # one\ny = (\n    2,\n)\nTEXT = """a\nb"""\n'
    assert code_lines(source) == 6
    assert code_lines("x = 1\n" * BUDGET) == BUDGET
