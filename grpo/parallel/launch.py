"""Starting several processes, on this machine's CPU or by `torchrun`, and ending them cleanly.

Tensors are exchanged through gloo on CPUs and NCCL on GPUs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from grpo.errors import BAD_INPUT, INTERRUPTED, UserError
from grpo.parallel.ranks import Ranks


def join_torchrun() -> Ranks:
    """Joins the other processes that `torchrun` started; without it, this process is alone."""
    if not dist.is_torchelastic_launched():
        return Ranks()
    if not dist.is_initialized():
        if torch.cuda.is_available():
            # FSDP, Triton and CUDA graphs take the current device for this process's own.
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if dist.get_rank():
        signal.signal(signal.SIGINT, _end_at_once)
    return Ranks(dist.get_rank(), dist.get_world_size())


def launch(size: int, work: Callable[..., int], *arguments: Any, fork: bool = False) -> int:
    """`work(*arguments, ranks)` in `size` new processes, the cores split among them; returns the exit status.

    Spawned processes get `work`, a function of a module, and its arguments pickled. Forked ones share the memory, which
    is safe only before this process has computed with tensors (a fork loses the threads). Ctrl-C is for the first
    process to answer. Raises UserError as `work` does.
    """
    context = get_context("fork") if fork else get_context("spawn")
    with tempfile.TemporaryDirectory() as meeting:
        problems = context.SimpleQueue()
        shared = (size, f"file://{meeting}/ranks", problems, fork, work, arguments)
        processes = [context.Process(target=_enter, args=(rank, *shared)) for rank in range(size)]
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
    """Within the block the signals call `handler`. Only the main thread can do so; in another one nothing changes."""
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
        signal.signal(signal.SIGINT, _end_at_once)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    try:
        status = work(*arguments, Ranks(rank, size, on_cpu=True))
    except UserError as error:
        status = BAD_INPUT
        problems.put(str(error))
    except KeyboardInterrupt:
        status = INTERRUPTED
        print("interrupted", file=sys.stderr)
    leave(status, forked)


def leave(status: int, forked: bool = False) -> NoReturn:
    """Ends a process that is in a process group.

    Threads of a process group that sharded layouts still hold need the interpreter's lock from time to time. Python
    before 3.14 ends such a thread while the interpreter shuts down, which aborts the process ("terminate called without
    an active exception"). So libraries clean up first, and then the process ends at once. A forked process would clean
    up for its parent, so it does not.
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


def _end_at_once(*_: object) -> None:
    """Only the first process has something to save."""
    os._exit(INTERRUPTED)
