"""Compiles the Triton kernels for GPUs that are not here, and prints what their code needs, as JSON.

A process of its own: where Triton's interpreter is on, kernels cannot be compiled.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels import triton_logprob

FP32 = ("largest", "mass", "moment", "chosen", "lse", "entropy", "by_logprob", "by_entropy")
ALIGNED = [["tt.divisibility", 16]]
"""What Triton finds of tensors' addresses, and of sizes that 16 divides, when a kernel is started."""


def resources(kernel: Any, element: str, tiling: dict[str, int], capability: int) -> dict[str, Any]:
    """Of a kernel on tensors of this type: bytes of shared memory, of registers spilled into the stack, and whether it
    multiplies on tensor cores and copies ahead."""
    sizes = {name: value for name, value in tiling.items() if name.startswith("BLOCK")}
    fixed = {"HAS_BIAS": False, "HAS_CAP": False, "PRECISION": "ieee" if element == "fp32" else "tf32", **sizes}
    signature, hints = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name] = "constexpr"
        elif name in ("softcap", "temperature"):
            signature[name] = "fp32"
        elif name in ("T", "V", "H", "span", "first", "width"):
            signature[name] = "i32"
        else:
            signature[name] = "*i64" if name == "ids" else "*fp32" if name in FP32 else f"*{element}"
        if signature[name].startswith("*") or name in ("H", "V", "span", "first", "width"):
            hints[(place,)] = ALIGNED
    constants = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=hints)
    options = {name: tiling[name] for name in ("num_warps", "num_stages")}
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


def main() -> None:
    """Reads [kernel, type, tiling, compute capability] from each line of the standard input."""
    for line in sys.stdin:
        kernel, element, tiling, capability = json.loads(line)
        made = resources(getattr(triton_logprob, kernel), element, getattr(triton_logprob, tiling), capability)
        print(json.dumps(made), flush=True)


if __name__ == "__main__":
    main()
