# Every command sets up .venv first. Pass options of the program in ARGS: make train ARGS="--seed 1"
# Two processes of one thread each are faster on two cores than one of two threads.
.PHONY: train test test-full check setup

train: setup
	.venv/bin/grpo train --processes 2 $(ARGS)

test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 $(ARGS)

test-full: setup
	GRPO_TESTS=full OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 $(ARGS)

check:
	.ci/run

setup:
	@.ci/setup
