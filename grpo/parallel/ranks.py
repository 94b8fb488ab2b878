"""Several processes as one: each has the whole model, they deal out the work and sum their gradients.

Every rank knows every episode of a step, since episodes are small, and so takes the same decisions; only what costs
time is dealt out: rollouts by group of siblings, forward and backward passes by micro-batch. No rank waits for another
but where results come together, and a rank without work contributes zeros.

One process needs no process group. Several are started by `launch` on this machine's CPU, or by `torchrun` anywhere;
tensors meet through gloo on CPUs and NCCL on GPUs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch.nn import Parameter

from grpo.cli.main import BAD_INPUT, UserError
from grpo.types import Episode, Request

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among `size`; alone by default."""

    rank: int = 0
    size: int = 1
    on_cpu: bool = False
    """Whether the processes share a CPU, as those of `launch` do, also where there are GPUs."""

    @classmethod
    def join(cls) -> Ranks:
        """Meets the other processes that `torchrun` started; without it there is this one."""
        if not dist.is_torchelastic_launched():
            return cls()
        if not dist.is_initialized():
            if torch.cuda.is_available():
                # FSDP, Triton and CUDA graphs take the current device for this process's own.
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        if dist.get_rank():
            signal.signal(signal.SIGINT, _drop_out)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes: a GPU of its own where there are GPUs."""
        if self.on_cpu or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def own(self, items: Sequence[T]) -> list[T]:
        """This rank's share, dealt in turn."""
        return list(items[self.rank :: self.size])

    def together(self, value: T) -> list[T]:
        """Every rank's value, by rank, on every rank; the values are pickled."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def episodes(self, requests: Sequence[Request], play: Callable[[list[Request]], list[Episode]]) -> list[Episode]:
        """The episodes of `requests`, in their order, on every rank; siblings are played by one."""
        groups = dict.fromkeys(request.group for request in requests)
        owner = {group: place % self.size for place, group in enumerate(groups)}
        played = [iter(own) for own in self.together(play([r for r in requests if owner[r.group] == self.rank]))]
        return [next(played[owner[request.group]]) for request in requests]

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replaces every gradient by its sum over the ranks; a missing one counts as zero."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.view(-1) for parameter in trained if parameter.grad is not None])
        dist.all_reduce(flat)
        for parameter, total in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            parameter.grad = total.view_as(parameter)

    def wait(self) -> None:
        """Returns when every rank has come here."""
        if self.size > 1:
            dist.barrier()


def launch(size: int, work: Callable[..., int], *arguments: Any, fork: bool = False) -> int:
    """`work(*arguments, ranks)` in `size` new processes, the cores split among them; returns the exit status.

    Spawned processes get `work`, a function of a module, and its arguments pickled; forked ones share what is in
    memory, which is safe only before this process has computed with tensors (a fork loses the threads). Ctrl-C is for
    the first process to answer. Raises UserError as `work` does.
    """
    context = get_context("fork") if fork else get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting:
        problems = context.SimpleQueue()
        everything = (size, f"file://{meeting}/ranks", problems, fork, work, arguments)
        processes = [context.Process(target=_enter, args=(rank, *everything)) for rank in range(size)]
        for process in processes:
            process.start()
        with on_signals([signal.SIGTERM], lambda *_: [process.terminate() for process in processes]):
            for process in processes:
                _wait_for(process)
        if not problems.empty():
            raise UserError(problems.get())
    return next((abs(process.exitcode) for process in processes if process.exitcode), 0)


@contextlib.contextmanager
def on_signals(numbers: Iterable[int], handler: Callable[..., object]) -> Iterator[None]:
    """Within the block the signals call `handler`. They belong to the main thread; in another one nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _enter(
    rank: int,
    size: int,
    meeting: str,
    problems: SimpleQueue[str],
    forked: bool,
    work: Callable[..., int],
    arguments: tuple[Any, ...],
) -> None:
    if rank:
        signal.signal(signal.SIGINT, _drop_out)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    try:
        status = work(*arguments, Ranks(rank, size, on_cpu=True))
    except UserError as error:
        status = BAD_INPUT
        problems.put(str(error))
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
        print("interrupted", file=sys.stderr)
    leave(status, forked)


def leave(status: int, forked: bool = False) -> NoReturn:
    """Ends a process that has met others.

    Threads of a process group that layouts still hold want the interpreter's lock now and then; while the interpreter
    takes itself apart, Python before 3.14 ends such a thread, which aborts the process ("terminate called without an
    active exception"). So libraries may tidy up, and then it ends at once; a forked one would tidy up its parent's.
    """
    # The others may still be reading from this one's store: leaving together keeps their goodbyes quiet.
    if status == 0:
        dist.destroy_process_group()
    if not forked:
        atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _wait_for(process: BaseProcess) -> None:
    while True:
        try:
            return process.join()
        except KeyboardInterrupt:
            continue


def _drop_out(*_: object) -> None:
    """Ends at once: only the first process has something to save."""
    os._exit(128 + signal.SIGINT)
