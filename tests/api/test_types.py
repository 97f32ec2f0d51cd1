"""A script of a user: it runs, and a type checker accepts it and refuses typos."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lmcompress.models.store import Model

ROOT = Path(__file__).parents[2]

SCRIPT = """
import lmcompress

raw = b"It was the best of times, it was the worst of times. " * 8
prompt = lmcompress.Prompt(b"It was the best", "dickens.txt")
frame: bytes = lmcompress.compress(raw, "tiny", lanes=1, threads=1, prompt=prompt)
assert lmcompress.decompress(frame, prompt=prompt, device="cpu") == raw
try:
    lmcompress.decompress(frame)
except lmcompress.PromptNotFoundError as error:
    print(error)

with lmcompress.open("verse.lmc", "wt", "tiny", encoding="utf-8", segment_bytes=64) as file:
    file.write("naïve\\n" * 40)
with lmcompress.open("verse.lmc", "rt", encoding="utf-8", threads=1) as file:
    lines: list[str] = file.readlines()
with lmcompress.open("verse.lmc") as binary:
    verse: bytes = binary.read()
assert verse.decode().splitlines(keepends=True) == lines

rate: float = lmcompress.score(raw, "tiny", adaptive=False).quantized_bits_per_byte
lanes: list[int] = [s.lanes for f in lmcompress.info("verse.lmc").frames for s in f.segments]
sizes: dict[str, int | None] = {m.name: m.model_bytes for m in lmcompress.list_models()}
assert sizes["tiny"] == lmcompress.load_model("tiny").model_bytes
"""

TYPOS = """
import lmcompress
lmcompress.compres(b"")
lmcompress.CorruptFileError
lmcompress.compress(b"", lane=1)
lmcompress.compress(b"", lanes="many")
lmcompress.decompress(b"", lanes=1)
lmcompress.open("verse.lmc", "rb", lanes=1)
lmcompress.open("verse.lmc", "rb", encoding="utf-8")
lmcompress.open("verse.lmc", "wt").write(b"")
lmcompress.open("verse.lmc", "wb").write("")
lmcompress.info("verse.lmc").ratio
"""


def test_a_users_script_runs(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    monkeypatch.chdir(tmp_path)

    runpy.run_path("script.py")


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_type_checker_accepts_a_users_script_and_refuses_typos(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    (tmp_path / "typos.py").write_text(TYPOS, "utf-8")
    cache = request.config.cache.mkdir("mypy")  # a second run takes seconds
    # Only the types of lmcompress itself matter here; those of PyTorch would take a minute.
    options = ["--strict", "--no-site-packages", "--follow-imports=silent", "--config-file="]

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", "script.py", "typos.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )

    refused = re.findall(r"^(\w+)\.py:(\d+): error:", checked.stdout, re.MULTILINE)
    num_lines = TYPOS.count("\n")
    assert set(refused) == {("typos", str(line)) for line in range(3, num_lines + 1)}, checked
