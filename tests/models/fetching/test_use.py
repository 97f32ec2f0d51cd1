"""Published checkpoints become models that the commands take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lmcompress
from lmcompress.models.fetching import fetch_model
from lmcompress.models.store import find_model, load_model
from tests.support.command_line import Run, assert_one_line_error, names

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

from tests.support.gguf_files import write_gguf
from tests.support.published_checkpoints import checkpoint
from tests.support.published_folder import folder_of
from tests.support.token_model import SPECIAL, TEXT

RAW = TEXT + SPECIAL.encode() + "Привет, 世界\r\n".encode() + b"\xff\xfe"


@pytest.mark.parametrize("kind", ["llama-tied", "gpt-2", "gpt-neox", "qwen-2", "qwen-3"])
def test_a_folder_becomes_a_model_that_compresses(kind: str, tmp_path: Path, cache: Path) -> None:
    model = fetch_model(str(folder_of(tmp_path, kind)), "mine")

    assert find_model("mine") == cache / "mine"
    assert load_model("mine").fingerprint == model.fingerprint
    assert model.weights is not None
    assert model.weights.config.activation_bits == 12
    assert lmcompress.decompress(lmcompress.compress(RAW, "mine")) == RAW
    assert names(cache) == ["mine"]


def test_a_gguf_file_becomes_a_model_that_compresses(tmp_path: Path) -> None:
    write_gguf(checkpoint("llama", tmp_path / "folder"), tmp_path / "Tiny.gguf")

    assert fetch_model(str(tmp_path / "Tiny.gguf")).name == "tiny"

    assert lmcompress.decompress(lmcompress.compress(RAW, "tiny")) == RAW


def test_a_text_begins_after_the_token_that_stood_between_texts(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace(SPECIAL, "<|endoftext|>"), "utf-8")
    parts = json.loads(path.read_text("utf-8"))
    parts["added_tokens"][0]["id"] = 7
    path.write_text(json.dumps(parts), "utf-8")

    weights = fetch_model(str(folder), "mine").weights

    assert weights is not None
    assert weights.config.bos_id == 7


def test_a_name_that_was_not_fetched_says_how(run: Run, text_file: Path) -> None:
    result = run("compress", "-m", "smollm2-135m", text_file)

    assert_one_line_error(result, "is not installed: run `lmcompress fetch smollm2-135m`")


def test_the_commands_take_what_was_fetched(run: Run, text_file: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)

    assert run("fetch", folder, "--name", "mine").code == 0
    assert run("compress", "-m", "mine", "--lanes", 2, text_file).code == 0
    frame = text_file.with_name("book.txt.lmc")
    info = json.loads(run("info", "--json", frame).stdout)["frames"][0]
    assert (info["model"], info["tokenizer"], info["model_is_installed"]) == (
        "mine",
        "tokens",
        True,
    )
    assert run("test", frame).code == 0
    assert run("decompress", "-c", frame).stdout == text_file.read_bytes()
    assert run("score", "-m", "mine", text_file).code == 0
    rows = json.loads(run("models", "--json").stdout)
    assert {row["name"]: row["fingerprint"] for row in rows}["mine"] == info["fingerprint"]


def test_a_folder_elsewhere_is_a_model_too(run: Run, text_file: Path, tmp_path: Path) -> None:
    assert run("fetch", folder_of(tmp_path), "--name", "mine", "--out", tmp_path / "my").code == 0
    assert run("compress", "-m", tmp_path / "my" / "mine", text_file).code == 0


@pytest.mark.parametrize("spelling", ["{0}", "{0}/", "published"])
def test_a_folder_that_was_not_fetched_says_how(
    spelling: str, run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(text_file.parent)
    monkeypatch.chdir(text_file.parent)
    given = spelling.format(folder)

    result = run("compress", "-m", given, text_file)

    assert_one_line_error(result, f"run `lmcompress fetch {given}` and use the name it gets")
