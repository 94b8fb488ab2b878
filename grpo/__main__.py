"""`python -m grpo`: the same as the `grpo` command."""

from grpo.cli.main import main

raise SystemExit(main())
