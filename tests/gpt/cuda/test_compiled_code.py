"""The GPU kernels compile to machine code, and the code keeps the rules of exactness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="needs Triton: pip install '.[test]' on Linux x86-64")

KERNELS = {"embed", "add", "split", "attend", "quantize", "activate", "frequencies", "multiply"}


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 86, 89, 90, 100, 120])
def test_no_instruction_contracts_approximates_or_flushes(capability: int) -> None:
    script = Path(__file__).parents[2] / "support" / "gpu_code.py"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, str(script), str(capability)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    found = {kernel: set(names) for kernel, names in json.loads(result.stdout).items()}
    assert set(found) == KERNELS
    floats = {n for names in found.values() for n in names if "f32" in n or "f64" in n}
    assert {"mul.rn.f32", "add.rn.f32", "div.rn.f32", "sqrt.rn.f64"} <= floats
    odd = {n for n in floats if n.startswith(("fma", "mad")) or "approx" in n or "ftz" in n}
    assert odd | {n for n in floats if "div" in n and ".rn" not in n} == set()
    for kernel in ("multiply", "attend"):
        assert any("mma" in name and "s32.s8.s8" in name for name in found[kernel])
