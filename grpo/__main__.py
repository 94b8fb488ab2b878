"""`python -m grpo`: the same as the `grpo` command."""

from grpo.cli import main

raise SystemExit(main())
