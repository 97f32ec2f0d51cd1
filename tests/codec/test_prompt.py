"""Prompts: a text that both sides read first."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.session import Session
from lmcompress.errors import CorruptFrameError, PromptNotFoundError
from lmcompress.format.file import read_frames
from lmcompress.models.store import Model
from tests.support.command_line import Run, assert_one_line_error

RECORD = b'{"id": %d, "name": "item %d", "price": %d, "tags": ["new", "sale"]}\r\n'
RECORDS = [RECORD % (i, i * 7 % 90, i * i % 1000) for i in range(300)]
PROMPT = Prompt(b"".join(RECORDS[:100]), "records.json")


@pytest.mark.parametrize("lanes", [1, 3, 40])
@pytest.mark.parametrize("raw", [b"", b"x", RECORDS[150], b"".join(RECORDS[100:]), bytes(3000)])
def test_what_was_compressed_after_a_prompt_comes_back(
    tiny_model: Model, raw: bytes, lanes: int
) -> None:
    config = CodecConfig(lanes=lanes, prompt=PROMPT)

    frame = lmcompress.compress(raw, tiny_model, config)

    decoder = CodecConfig(threads=1, prompt=Prompt(PROMPT.raw, "of another name"))
    assert lmcompress.decompress(frame, tiny_model, decoder) == raw


@pytest.mark.parametrize("size", [1, 63, 64, 65, 300, 20_000])
def test_prompts_of_any_length_work(tiny_model: Model, size: int) -> None:
    raw, config = RECORDS[7] * 3, CodecConfig(prompt=Prompt((PROMPT.raw * 9)[:size]))

    frame = lmcompress.compress(raw, tiny_model, config)

    assert lmcompress.decompress(frame, tiny_model, config) == raw


@pytest.mark.parametrize("name", ["tiny", "none"])
def test_a_prompt_of_its_kind_halves_a_record(tiny_model: Model, name: str) -> None:
    model = tiny_model if name == "tiny" else name

    def bits(config: CodecConfig) -> float:
        return lmcompress.score(RECORDS[150], model, config).quantized_code_length_bits

    assert bits(CodecConfig(prompt=PROMPT)) < bits(CodecConfig()) / 2


def test_threads_and_what_was_read_before_change_no_bit(tiny_model: Model) -> None:
    raw = b"".join(RECORDS[100:200])
    expected = lmcompress.compress(raw, tiny_model, CodecConfig(prompt=PROMPT, threads=1))
    other = CodecConfig(prompt=Prompt(RECORDS[0], "other"))
    lmcompress.compress(raw, tiny_model, other)  # takes the kept prompt's place

    for _ in range(2):  # read again, then kept: a use must not change what is kept
        again = CodecConfig(prompt=PROMPT, threads=2)
        assert lmcompress.compress(raw, tiny_model, again) == expected


def test_a_prompt_is_read_again_for_another_context(tiny_model: Model) -> None:
    assert tiny_model.weights is not None
    lengths = []
    for overlap in (8, 4):
        session = Session(tiny_model, CodecConfig(prompt=PROMPT), ContextPolicy(32, overlap))
        with session.open_decoder(1) as opened:
            assert opened.prompt is not None
            lengths.append(len(opened.prompt.context))

    assert lengths == [8, 4]


def test_each_segment_begins_with_the_prompt(tiny_model: Model) -> None:
    record = RECORDS[150]
    config = CodecConfig(prompt=PROMPT, segment_bytes=len(record))

    frame = lmcompress.compress(record * 3, tiny_model, config)

    payloads = [payload for reader in read_frames(io.BytesIO(frame)) for _, payload in reader]
    assert len(payloads) == 3
    assert len(set(payloads)) == 1
    assert lmcompress.decompress(frame, tiny_model, config) == record * 3


def test_a_missing_prompt_is_asked_for_by_name(tiny_model: Model) -> None:
    frame = lmcompress.compress(RECORDS[1], tiny_model, CodecConfig(prompt=PROMPT))

    with pytest.raises(PromptNotFoundError, match=r"records\.json' .*found none.*--prompt"):
        lmcompress.decompress(frame, tiny_model)
    wrong = CodecConfig(prompt=Prompt(b"another text", "wrong.txt"))
    with pytest.raises(PromptNotFoundError, match=r"records\.json' .*found wrong\.txt"):
        lmcompress.decompress(frame, tiny_model, wrong)


def test_a_prompt_that_a_file_does_not_need_is_not_used(tiny_model: Model) -> None:
    frame = lmcompress.compress(RECORDS[1], tiny_model)

    assert lmcompress.decompress(frame, tiny_model, CodecConfig(prompt=PROMPT)) == RECORDS[1]


def test_every_damaged_byte_of_a_primed_file_is_found(tiny_model: Model) -> None:
    config = CodecConfig(prompt=PROMPT)
    frame = lmcompress.compress(RECORDS[1], tiny_model, config)
    for i in range(len(frame)):
        damaged = bytearray(frame)
        damaged[i] ^= 1 << int(np.random.default_rng(i).integers(8))
        with pytest.raises(lmcompress.LmcompressError):
            lmcompress.decompress(bytes(damaged), tiny_model, config)
    with pytest.raises(CorruptFrameError):
        lmcompress.decompress(frame[:-1], tiny_model, config)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Prompt(b"")


def test_the_command_line_takes_a_prompt(run: Run, tmp_path: Path) -> None:
    record, prompt = tmp_path / "record.json", tmp_path / "seen before.json"
    record.write_bytes(RECORDS[150])
    prompt.write_bytes(PROMPT.raw)
    frame = tmp_path / "record.json.lmc"

    assert run("compress", record, "-m", "none", "--prompt", prompt).code == 0
    record.unlink()

    assert "seen before.json" in run("info", frame).stdout.decode()
    assert_one_line_error(run("decompress", frame), "seen before.json", "--prompt")
    assert not record.exists()
    assert run("decompress", frame, "--prompt", prompt).code == 0
    assert record.read_bytes() == RECORDS[150]


@pytest.mark.parametrize("content", [None, b""])
def test_a_prompt_that_cannot_be_read_is_one_line(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    record, prompt = tmp_path / "record.json", tmp_path / "prompt"
    record.write_bytes(RECORDS[150])
    if content is not None:
        prompt.write_bytes(content)

    result = run("compress", record, "-m", "none", "--prompt", prompt)

    assert_one_line_error(result, "prompt")
    assert not (tmp_path / "record.json.lmc").exists()
