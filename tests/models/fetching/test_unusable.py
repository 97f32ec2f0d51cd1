"""What cannot become a model is one clear line, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import MissingDependencyError, ModelNotFoundError, UnsupportedModelError
from lmcompress.models.fetching import fetch_model
from tests.support.command_line import Run, assert_one_line_error, names

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

from tests.support.gguf_files import write_gguf
from tests.support.published_checkpoints import checkpoint
from tests.support.published_folder import folder_of
from tests.support.token_model import tokenizer_json


def spoiled(name: str, **values: Any) -> Callable[[Path], None]:
    """Returns what gives a checkpoint's JSON file other values."""

    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x08"), "model.safetensors is damaged"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json is not valid JSON"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json is damaged"),
        (
            lambda f: (f / "tokenizer.json").write_text(
                json.dumps({"model": {"type": "Unigram"}, "decoder": 0, "pre_tokenizer": 0})
            ),
            "the tokenizer is Unigram, expected byte-level BPE",
        ),
        (
            lambda f: (f / "tokenizer.json").write_text(
                (f / "tokenizer.json").read_text("utf-8").replace(":298", ":300"), "utf-8"
            ),
            "has token 300, the model has 300",
        ),
        (
            lambda f: (f / "config.json").write_text(
                json.dumps(json.loads((f / "config.json").read_text()) | {"model_type": "mamba"})
            ),
            "architecture is mamba",
        ),
        (spoiled("config.json", rope_parameters=3), "is damaged, or of a kind not known here"),
        (spoiled("config.json", model_type=["llama"]), "is damaged, or of a kind not known here"),
        (spoiled("config.json", num_attention_heads=0), "n_head is 0"),
        (
            spoiled("tokenizer.json", added_tokens=[{"id": 0, "content": "a"}]),
            "the tokenizer cannot be used: KeyError('special')",
        ),
    ],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_used_is_one_clear_line(
    spoil: Any, expected: str, run: Run, tmp_path: Path, cache: Path
) -> None:
    folder = folder_of(tmp_path)
    spoil(folder)

    assert_one_line_error(run("fetch", folder, "--name", "mine"), expected)
    assert not cache.exists() or names(cache) == []


def test_a_tokenizer_that_is_none_is_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "tokenizer.json").write_text("[]")

    with pytest.raises(UnsupportedModelError, match=r"tokenizer\.json is not one of tokenizers"):
        fetch_model(str(folder), "mine")


def test_another_kind_of_tokenizer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "tokenizer.json").write_text('{"model": {"type": "WordLevel"}}')

    with pytest.raises(UnsupportedModelError):
        fetch_model(str(folder), "mine")


def test_the_tokenizer_of_a_smaller_model_is_refused(run: Run, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    parts = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    parts["model"] |= {"vocab": dict(list(parts["model"]["vocab"].items())[:260]), "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(parts), "utf-8")

    assert_one_line_error(run("fetch", folder, "--name", "mine"), "belongs to another model")


def test_a_truncated_gguf_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(checkpoint("llama", tmp_path / "folder"), path)
    path.write_bytes(path.read_bytes()[:-100])

    assert_one_line_error(run("fetch", path), "damaged, cut short, or not a GGUF file")


def test_a_source_that_is_not_there_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    assert_one_line_error(run("fetch", tmp_path / "missing"), "no file or folder")


def test_a_source_that_is_not_there_is_the_error_even_if_its_name_is_taken(
    tmp_path: Path, cache: Path
) -> None:
    fetch_model(str(folder_of(tmp_path)), "smollm2-tiny")

    with pytest.raises(
        ModelNotFoundError, match="no file or folder owner/SmolLM2-tiny: did you mean"
    ):
        fetch_model("owner/SmolLM2-tiny", overwrite=True)
    assert names(cache) == ["smollm2-tiny"]


def test_a_hub_that_does_not_answer_is_one_clear_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert_one_line_error(run("fetch", "hf:nobody/nothing@main"), "cannot fetch hf:nobody/nothing")


def test_without_the_hubs_package_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(MissingDependencyError, match="huggingface_hub package"):
        fetch_model("hf:nobody/nothing")


PROGRAM = """
import resource, sys
from lmcompress.cli.main import main
from lmcompress.models import fetching
import lmcompress.models.checkpoint, tokenizers
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (96 << 20), -1))
sys.exit(main(["fetch", sys.argv[1], "--name", "big"]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_too_little_memory_is_one_clear_line(tmp_path: Path) -> None:
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=60_000, hidden_size=512, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=8, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path / "big"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    parts = json.loads(tokenizer_json())
    parts["model"] |= {"vocab": {f"x{i}": i for i in range(60_000)}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(parts), "utf-8")

    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=False
    )

    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert "not enough memory" in result.stderr.splitlines()[-1]
    assert len(result.stderr.splitlines()) == 1
