"""The Python interface: keywords, files, models, and types as a user's checker sees them."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.models.store import DEFAULT_MODEL, Model
from tests.support.command_line import TEXT

ROOT = Path(__file__).parents[1]

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


@pytest.mark.slow
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


def test_keywords_override_the_fields_of_config(tiny_model: Model) -> None:
    config = CodecConfig(lanes=4, adaptive=False)

    found = lmcompress.compress(TEXT, tiny_model, config, lanes=2)

    assert found == lmcompress.compress(TEXT, tiny_model, CodecConfig(lanes=2, adaptive=False))
    assert found != lmcompress.compress(TEXT, tiny_model, config)


def test_a_keyword_that_does_not_apply_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    frame = lmcompress.compress(TEXT, tiny_model)

    with pytest.raises(TypeError, match=r"unexpected keyword 'lane', expected one of .*lanes"):
        lmcompress.compress(TEXT, tiny_model, lane=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword 'lanes', expected one of device"):
        lmcompress.decompress(frame, lanes=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword 'lanes', expected one of device"):
        lmcompress.open(tmp_path / "text.lmc", "rb", lanes=1)  # type: ignore[call-overload]


def test_keywords_out_of_range_are_refused(tiny_model: Model) -> None:
    with pytest.raises(ValueError, match="lanes is 0"):
        lmcompress.compress(TEXT, tiny_model, lanes=0)


def test_progress_adds_up_to_the_data(tiny_model: Model) -> None:
    for function, data in (
        (lmcompress.compress, TEXT),
        (lmcompress.score, TEXT),
        (lmcompress.decompress, lmcompress.compress(TEXT, tiny_model)),
    ):
        done: list[int] = []
        function(data, tiny_model, progress=done.append)  # type: ignore[operator]
        assert sum(done) == len(TEXT)


def test_score_measures_with_the_prompt(tiny_model: Model) -> None:
    alone = lmcompress.score(TEXT[:100], tiny_model)
    primed = lmcompress.score(TEXT[:100], tiny_model, prompt=Prompt(TEXT))

    assert primed.quantized_code_length_bits < alone.quantized_code_length_bits


@pytest.mark.parametrize("name", [DEFAULT_MODEL, "ladder-50k"])
def test_a_model_that_did_not_make_the_file_is_refused_when_reading(
    name: str, tiny_model: Model, tmp_path: Path
) -> None:
    (tmp_path / "text.lmc").write_bytes(lmcompress.compress(TEXT, tiny_model))

    with (
        lmcompress.open(tmp_path / "text.lmc", "rb", model=name) as file,
        pytest.raises(lmcompress.FingerprintMismatchError),
    ):
        file.read()


def test_a_file_object_is_read_and_written_and_stays_open(tiny_model: Model) -> None:
    sink = io.BytesIO()
    with lmcompress.open(sink, "wt", tiny_model, encoding="utf-8", newline="\r\n") as file:
        file.write("naïve\n")

    assert lmcompress.decompress(sink.getvalue()) == "naïve\r\n".encode()
    sink.seek(0)
    with lmcompress.open(sink, "rt", encoding="ascii", errors="replace") as file:
        assert file.read() == "na\ufffd\ufffdve\n"
    assert not sink.closed


def test_encodings_are_for_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add t to the mode"):
        lmcompress.open(tmp_path / "text.lmc", "wb", encoding="utf-8")  # type: ignore[call-overload]
    assert not (tmp_path / "text.lmc").exists()


def test_a_file_that_exists_is_not_opened_exclusively(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "text.lmc").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        lmcompress.open(tmp_path / "text.lmc", "x", tiny_model)
    assert (tmp_path / "text.lmc").read_bytes() == b"precious"


def test_info_of_a_path_and_of_a_file_object_agree(tiny_model: Model, tmp_path: Path) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, lanes=2)
    (tmp_path / "text.lmc").write_bytes(frame)

    told = lmcompress.info(tmp_path / "text.lmc")

    assert told == lmcompress.info(io.BytesIO(frame))
    assert (told.raw_bytes, told.compressed_bytes) == (len(TEXT), len(frame))
    [described] = told.frames
    assert (described.model, described.model_is_installed) == ("tiny", True)
    assert described.model_bytes == tiny_model.model_bytes


def test_info_counts_no_model_whose_weights_are_missing(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(TEXT, tiny_model)
    (tmp_path / "tiny").mkdir()
    manifest = (tiny_model.folder / "model.json").read_bytes()
    (tmp_path / "tiny" / "model.json").write_bytes(manifest)
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    told = lmcompress.info(io.BytesIO(frame))

    assert (told.frames[0].model_bytes, told.adjusted_compression_rate) == (None, None)


def test_listed_models_have_the_size_and_fingerprint_of_loaded_ones(
    token_model: Model, tiny_model_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [token_model.folder.parent, tiny_model_root]
    monkeypatch.setenv("LMCOMPRESS_MODELS", os.pathsep.join(map(str, roots)))

    listed = {model.name: model for model in lmcompress.list_models()}

    assert listed[DEFAULT_MODEL].model_bytes == 3_315_840  # as in results/*/records.jsonl
    for name in (DEFAULT_MODEL, "ladder-50k", "tiny", "tiny-tokens", "none"):
        model = lmcompress.load_model(name)
        assert listed[name].model_bytes == model.model_bytes
        assert listed[name].fingerprint == model.fingerprint.hex()
        assert listed[name].num_parameters == model.num_parameters
        assert listed[name].folder == model.folder
    assert [model.name for model in listed.values() if model.is_default] == [DEFAULT_MODEL]


def test_a_checkpoint_of_floats_is_listed_without_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmcompress.gpt.config import GPTConfig
    from lmcompress.gpt.network import GPT
    from lmcompress.models.checkpoint import save_float_checkpoint

    network = GPT(GPTConfig(n_layer=1, n_embd=32, n_head=1, context_length=16))
    save_float_checkpoint(network, {"name": "mine"}, tmp_path / "mine")
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    [listed] = [model for model in lmcompress.list_models() if model.name == "mine"]

    assert (listed.model_bytes, listed.fingerprint) == (None, None)
    assert listed.num_parameters == network.config.num_parameters


def test_models_can_be_keys_of_a_dict(tiny_model: Model) -> None:
    assert {tiny_model: 1}[lmcompress.load_model("tiny")] == 1
    assert dataclasses.replace(tiny_model, name="other") not in {tiny_model}


def test_fetch_returns_a_model_that_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    from tests.support.published_checkpoints import checkpoint
    from tests.support.token_model import tokenizer_json

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint("llama", tmp_path / "published")
    (tmp_path / "published" / "tokenizer.json").write_text(tokenizer_json(), "utf-8")

    model = lmcompress.fetch(tmp_path / "published", "mine")

    listed = {listed.name: listed for listed in lmcompress.list_models()}
    assert listed["mine"].fingerprint == model.fingerprint.hex()
    assert listed["mine"].model_bytes == model.model_bytes
