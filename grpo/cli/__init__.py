"""The `grpo` command, one module a subcommand."""
