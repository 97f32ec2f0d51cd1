"""The rules that no single module can keep: who may import whom, and that documents are true."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress.cli import main
from lmcompress.train_config import TrainConfig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lmcompress"
README = (ROOT / "README.md").read_text("utf-8")
HEAVY = ("torch", "numba", "pandas", "matplotlib")

# Lowest first: a module imports only from the lines above its own.
LAYERS = (
    "cpus errors logistic metrics muon prefetch progress protocol published gpt.config "
    "gpt.gpu_driver gpt.integers gpt.ngrams gpt.transfer_cuda gpt.vectors_cpu",
    "cache wire files coding float_scoring cli_errors corpus_download hub_corpora inline_svg "
    "gpt.card gpt.grids gpt.network",
    "code_files layout train_config",
    "compiled optimizers tokens adaptive.state",
    "gpt.architectures gpt.gguf_files tokenizing two_levels",
    "adaptive.addresses adaptive.contexts adaptive.vectors baselines corpora records streams "
    "gpt.barrier_cpu gpt.block_engine gpt.presets gpt.quantization",
    "adaptive.matches adaptive.mixing compact provenance report results gpt.exact gpt.checkpoint",
    "batches sources gpt.pretrained",
    "adaptive.stage container figures page media_codecs model_store gpt.kernels_cpu",
    "initial gpt.products_cpu gpt.pytorch_products gpt.engine_torch gpt.groups gpt.kernels_cuda "
    "gpt.model_cuda",
    "training gpt.groups_torch gpt.attention_simd gpt.groups_cpu gpt.wide_products_cpu "
    "gpt.attention_cuda gpt.products_cuda",
    "gpt.attention_cpu gpt.engine_cuda gpt.wide_cpu",
    "gpt.engine_cpu gpt.team_kernel_cpu",
    "gpt.team_cpu",
    "gpt.cpu gpt.gpu",
    "fetching predictor",
    "lanes",
    "priming",
    "recipe byte_codec token_codec",
    "codec",
    "api scoring cli_options",
    "benchmark cli_fetch cli_files cli_info cli_models cli_report cli_reproduce",
    "cli_bench",
    "cli",
    "__main__",
)
LAYER = {name: i for i, line in enumerate(LAYERS) for name in line.split()}
INITS = {"", "adaptive", "gpt"}
"""Packages themselves: `import lmcompress` reaches for the rest only when asked."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def project_imports(path: Path) -> set[str]:
    """Returns the project's modules that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
            found |= {name if name[11:] in MODULES else base for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name[11:] for name in found if name == "lmcompress" or name.startswith("lmcompress.")}


def test_every_module_has_a_layer() -> None:
    assert set(MODULES) - INITS == set(LAYER)


@pytest.mark.parametrize("name", sorted(set(MODULES) - INITS))
def test_imports_go_one_way(name: str) -> None:
    imported = project_imports(MODULES[name]) - INITS

    assert {other for other in imported if LAYER[other] >= LAYER[name]} == set()


@pytest.mark.parametrize("name", ["wire", "files", "coding", "gpt.config", "gpt.integers"])
def test_foundations_know_only_the_errors(name: str) -> None:
    assert project_imports(MODULES[name]) <= {"errors"}


@pytest.mark.parametrize("name", ["errors", "metrics"])
def test_errors_and_metrics_know_nothing(name: str) -> None:
    assert project_imports(MODULES[name]) == set()


def test_the_library_knows_no_command_line() -> None:
    library = [name for name in MODULES if not name.startswith(("cli", "__main__"))]
    imported = set().union(*(project_imports(MODULES[name]) for name in library))

    assert {name for name in imported if name.startswith("cli")} == set()


@pytest.mark.parametrize("name", ["coding", "container", "compact"])
def test_the_coder_and_the_container_know_no_model(name: str) -> None:
    seen, open_names = set(), {name}
    while open_names:
        seen |= open_names
        open_names = set().union(*(project_imports(MODULES[n]) for n in open_names)) - seen

    assert not {other for other in seen if other.startswith("gpt") or other == "model_store"}


@pytest.mark.parametrize("module", ["lmcompress", "lmcompress.cli"])
def test_import_is_light(module: str) -> None:
    program = f"import sys, {module}; print(*[m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert result.stdout.split() == []


def test_public_names_are_sorted_and_exact() -> None:
    tree = ast.parse(MODULES[""].read_text("utf-8"))
    for_type_checkers = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    at_run_time = {(f"lmcompress.{home}", name) for name, home in lmcompress._HOMES.items()}

    assert lmcompress.__all__ == sorted(lmcompress.__all__)
    assert for_type_checkers == at_run_time
    assert set(lmcompress.__all__) == {name for _, name in at_run_time} | {"LmcompressError"}
    assert {getattr(lmcompress, name).__name__ for name in lmcompress.__all__} == set(
        lmcompress.__all__
    )


CONFIGS = sorted((ROOT / "experiments" / "configs").glob("*.toml"))


def test_there_are_training_configurations() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_training_configuration_parses(path: Path) -> None:
    assert TrainConfig.from_toml(path).name == path.stem


@pytest.mark.parametrize(
    "text",
    [*re.findall(r"```python\n(.*?)```", README, re.DOTALL), lmcompress.__doc__],
    ids=["README", "lmcompress"],
)
def test_documented_python_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(text, {}, "documentation", None, None)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)

    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
COMMANDS = re.findall(r"(?:^| -m )lmcompress (\w+)([^#\n]*)", SHELL, re.MULTILINE)


@pytest.mark.parametrize(("command", "arguments"), COMMANDS, ids=lambda value: value.strip())
def test_documented_command_has_its_options(
    command: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0

    text = capsys.readouterr().out
    for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments):
        assert re.search(rf"{option}\b", text), option


def test_file_tree_in_readme_is_complete() -> None:
    tree = re.search(r"## Files\n\n```\nlmcompress/\n(.*?)\nexperiments/", README, re.DOTALL)
    assert tree is not None
    listed, folder = set(), ""
    for line in tree[1].splitlines():
        name = line.split()[0]
        if not line.startswith("    "):
            folder = ""
        if name.endswith("/"):
            folder = name.replace("/", ".")
        elif name.endswith(".py"):
            listed.add(folder + name.removesuffix(".py"))

    assert listed == set(MODULES) - INITS - {"__main__"}


def test_readme_opens_with_the_two_lines() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]

    assert len(lines) == 2
    assert lines[0].endswith(" && .venv/bin/lmcompress demo")
    assert lines[1].endswith(" && .venv/bin/python -m pytest -q -n 2")
    assert README.index(lines[1]) < README.index("\n## ")
