"""Compiles the Triton kernels for GPUs that this machine lacks, and measures the resources of the machine code.

Compilation runs in a separate process, because kernels cannot be compiled while Triton's interpreter is on.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

FP32 = (
    "largest",
    "mass",
    "moment",
    "id_logits",
    "lse",
    "entropy",
    "by_logprob",
    "by_entropy",
    "shared",
    "shared_lse",
    "output_lse",
)
INT64 = ("ids", "filled", "parts", "positions", "work")
NUMBERS = ("softcap", "temperature", "scaling")
SIZES = (
    "T",
    "V",
    "H",
    "span",
    "first",
    "width",
    "window",
    "count",
    "blocks",
    "shared_rows",
    "kv_heads",
    "groups",
    "depth",
    "fields",
    "layer",
)
DIVISIBLE = ("H", "V", "span", "first", "width", "depth")
ALIGNED = [["tt.divisibility", 16]]
"""The property that Triton detects at launch for addresses of tensors and for sizes that are multiples of 16."""


def resources(kernel: Any, element: str, constants: dict[str, Any], options: dict[str, int], capability: int) -> Any:
    """Resources of a kernel for tensors of type `element`: bytes of shared memory, bytes of registers spilled to the
    stack, and whether the kernel uses tensor cores and prefetches."""
    signature, hints = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in NUMBERS or name in SIZES:
            signature[name] = "fp32" if name in NUMBERS else "i32"
        else:
            signature[name] = "*i64" if name in INT64 else "*fp32" if name in FP32 else f"*{element}"
        if signature[name].startswith("*") or name in DIVISIBLE:
            hints[(place,)] = ALIGNED
    constexprs = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs, attrs=hints)
    binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    code = binary.asm["ptx"]
    return {
        "shared": binary.metadata.shared,
        "stack": stack(binary.asm["cubin"]),
        "tensor_cores": "wgmma.mma_async" in code or "mma.sync" in code,
        "prefetches": "cp.async" in code,
    }


def stack(cubin: bytes) -> int:
    """Stack bytes per thread, read from the machine code by NVIDIA's cuobjdump."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        listing = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    (size,) = re.findall(r"STACK:(\d+)", listing)
    return int(size)


def compile_kernels(*requests: tuple[str, str, str, dict[str, Any], dict[str, int], int]) -> list[dict[str, Any]]:
    """`resources` for each request, from a new process.

    A request is a module, a kernel's name, and the arguments of `resources` after the kernel.
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    process = subprocess.run(
        [sys.executable, __file__], input=json.dumps(requests), capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    answers: list[dict[str, Any]] = json.loads(process.stdout)
    return answers


if __name__ == "__main__":
    answers = [
        resources(getattr(importlib.import_module(module), name), *arguments)
        for module, name, *arguments in json.load(sys.stdin)
    ]
    print(json.dumps(answers))
