"""Compiles the Triton kernels for GPUs that are not here, and says what their code needs.

In a process of its own: where Triton's interpreter is on, kernels cannot be compiled.
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
"""What Triton finds of tensors' addresses, and of sizes that 16 divides, when a kernel is started."""


def resources(kernel: Any, element: str, fixed: dict[str, Any], options: dict[str, int], capability: int) -> Any:
    """Of a kernel on tensors of this type: bytes of shared memory, of registers spilled into the stack, and whether it
    multiplies on tensor cores and copies ahead."""
    signature, hints = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name] = "constexpr"
        elif name in NUMBERS or name in SIZES:
            signature[name] = "fp32" if name in NUMBERS else "i32"
        else:
            signature[name] = "*i64" if name in INT64 else "*fp32" if name in FP32 else f"*{element}"
        if signature[name].startswith("*") or name in DIVISIBLE:
            hints[(place,)] = ALIGNED
    constants = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=hints)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    code = made.asm["ptx"]
    return {
        "shared": made.metadata.shared,
        "stack": stack(made.asm["cubin"]),
        "tensor_cores": "wgmma.mma_async" in code or "mma.sync" in code,
        "copies_ahead": "cp.async" in code,
    }


def stack(cubin: bytes) -> int:
    """Bytes per thread, as NVIDIA's own tool reads them from the machine code."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        listing = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"STACK:(\d+)", listing)
    return int(found)


def compiled(*wanted: tuple[str, str, str, dict[str, Any], dict[str, int], int]) -> list[dict[str, Any]]:
    """`resources` of module, kernel, type, constants, options and compute capability each, from a new process."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    made = subprocess.run(
        [sys.executable, __file__], input=json.dumps(wanted), capture_output=True, text=True, env=environment
    )
    assert made.returncode == 0, made.stderr
    found: list[dict[str, Any]] = json.loads(made.stdout)
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(
        json.dumps(
            [resources(getattr(importlib.import_module(module), name), *given) for module, name, *given in asked]
        )
    )
