"""A command that lacks an extra says at its start what to install; compressing needs none."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from lmcompress.system.extras import needs_extra
from tests.support.command_line import Run, assert_one_line_error

EXTRAS = (
    "brotli", "bzip3", "datasets", "gguf", "huggingface_hub", "jinja2", "markdown_it", "markupsafe",
    "matplotlib", "pandas", "PIL", "playwright", "pyarrow", "pyppmd", "scipy", "soundfile",
    "tokenizers", "transformers", "zpaq", "zstandard",
)  # fmt: skip
PAGES = (
    "lmcompress.report.page", "lmcompress.report.explaining.page", "lmcompress.report.markdown",
    "lmcompress.report.label_places",
)  # fmt: skip
"""Modules that need an extra to be imported."""


@pytest.mark.parametrize(
    ("argv", "hidden", "extra"),
    [
        (["report"], "jinja2", "report"),
        (["report"], "markdown_it", "report"),
        (["demo"], "matplotlib", "bench"),
        (["bench", "book.txt", "--plot", "plot.svg"], "matplotlib", "bench"),
        (["explain", "book.txt"], "jinja2", "report"),
        (["score", "book.txt", "--per-byte", "costs.parquet"], "pyarrow", "tables"),
    ],
    ids=["report-jinja2", "report-markdown", "demo", "bench", "explain", "score"],
)
def test_a_missing_package_is_one_line_that_names_its_extra(
    argv: list[str],
    hidden: str,
    extra: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, hidden, None)
    for page in PAGES:
        monkeypatch.delitem(sys.modules, page, raising=False)

    result = run(*argv)

    assert_one_line_error(result, f"needs the {hidden} package: pip install 'lmcompress[{extra}]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["import no_such_package", "raise ImportError('broken')"])
def test_a_broken_package_raises_its_own_error(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_extra.py").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    with (
        pytest.raises(ImportError, match=r"no_such_package|broken"),
        needs_extra("bench", "a plot", "broken_extra"),
    ):
        importlib.import_module("broken_extra")


def test_compressing_needs_no_extra() -> None:
    program = f"""
import importlib, pkgutil, sys
for name in {EXTRAS}:
    sys.modules[name] = None
import lmcompress
for module in pkgutil.walk_packages(lmcompress.__path__, "lmcompress."):
    if module.name not in {PAGES} + ("lmcompress.__main__",):
        if not module.name.startswith("lmcompress.gpt.cuda."):
            importlib.import_module(module.name)
raw = b"It was the best of times, it was the worst of times; " * 9
assert lmcompress.decompress(lmcompress.compress(raw, "none")) == raw
"""
    subprocess.run([sys.executable, "-c", program], check=True)
