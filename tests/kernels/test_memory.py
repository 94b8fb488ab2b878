"""Reuse of the memory of freed tensors."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys

import torch

from kernels import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_freed_memory()


for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(16_000_000) for _ in range(2)]
    del tensors
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.full
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_new_tensors_reuse_freed_memory():
    """Two tensors of 64 MB take 31,250 pages of 4 KiB. By default, they cause page faults on every allocation."""

    def faults(mode: str) -> int:
        process = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
        return int(process.stdout)

    assert faults("keep") < 1000
    assert faults("default") > 20_000
