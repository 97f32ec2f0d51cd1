"""The compact frame: its bytes do not drift, and damage never passes for content."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec.stream import compress_stream
from lmcompress.errors import (
    CorruptFrameError,
    FingerprintMismatchError,
    LmcompressError,
    ModelNotFoundError,
    PromptNotFoundError,
    TruncatedFrameError,
    UnsupportedVersionError,
)
from lmcompress.format.compact import (
    COMPACT_MAGIC,
    CompactHeader,
    CompactReader,
    CompactSegment,
    CompactWriter,
    pack_compact,
)
from lmcompress.format.file import read_frames
from lmcompress.format.header import Method, with_crc32
from lmcompress.format.wire import PIECE_BYTES, encode_varint
from lmcompress.models.store import Model
from tests.support.command_line import TEXT, Run, assert_one_line_error, names

HEADER = CompactHeader(1, bytes(range(4)), bytes(range(16, 20)))
RAW_CHECKSUM = bytes.fromhex("92920681")

# Written out in docs/format.md, line by line.
CODED = bytes.fromhex("894c4d63 9f 00010203 10111213 ac02 02 03 92920681 010203 d4988a6a")
STORED = bytes.fromhex("894c4d63 81 03 616263 49b227ad")

PROMPT = Prompt(TEXT[:300], "seen before")
PRIMED = CodecConfig(prompt=PROMPT, compact=True)


def coded_frame() -> bytes:
    segment = CompactSegment(Method.MIXED, 300, 2, 3, RAW_CHECKSUM)
    return pack_compact(HEADER, segment, b"\x01\x02\x03")


def read_all(data: bytes) -> list[tuple[CompactHeader, list[tuple[CompactSegment, bytes]]]]:
    return [(reader.header, list(reader)) for reader in read_frames(io.BytesIO(data))]


def test_frame_bytes_are_those_of_the_format_document() -> None:
    sink = io.BytesIO()
    writer = CompactWriter(sink, HEADER)
    writer.write_stored(b"abc")
    assert sink.getvalue() == b""
    writer.finish()

    assert coded_frame() == CODED
    assert sink.getvalue() == STORED
    assert writer.bytes_written == len(STORED)


def test_frames_of_the_format_document_read_back() -> None:
    (header, [(coded, payload)]), (nothing, [(stored, raw)]) = read_all(CODED + STORED)

    assert (header, payload) == (HEADER, b"\x01\x02\x03")
    assert coded == CompactSegment(Method.MIXED, 300, 2, 3, RAW_CHECKSUM)
    assert (nothing, raw) == (CompactHeader(), b"abc")
    assert (stored.raw_bytes, stored.lanes) == (3, 0)


def test_it_has_no_method_for_segments_without_the_gpt() -> None:
    segment = CompactSegment(Method.ADAPTIVE, 300, 1, 3, RAW_CHECKSUM)

    with pytest.raises(ValueError, match="a compact frame has no method adaptive"):
        pack_compact(HEADER, segment, b"\x01\x02\x03")


def test_a_writer_takes_one_segment() -> None:
    writer = CompactWriter(io.BytesIO(), HEADER)
    writer.write_stored(b"abc")

    with pytest.raises(ValueError, match="one segment"):
        writer.write_stored(b"def")


@given(
    raw_bytes=st.integers(1, 64),
    lanes=st.integers(1, 64),
    payload=st.binary(max_size=300),
    version=st.integers(1, 7),
    hashes=st.tuples(st.binary(min_size=4, max_size=4), st.sampled_from([b"", b"abcd"])),
    method=st.sampled_from([Method.CODED, Method.MIXED]),
)
def test_any_header_and_sizes_read_back(
    raw_bytes: int, lanes: int, payload: bytes, version: int, hashes: tuple[bytes, bytes],
    method: Method,
) -> None:  # fmt: skip
    header = CompactHeader(version, *hashes)
    lanes = min(lanes, raw_bytes)
    segment = CompactSegment(method, raw_bytes, lanes, len(payload), RAW_CHECKSUM)

    frame = pack_compact(header, segment, payload)

    assert read_all(frame) == [(header, [(segment, payload)])]
    overhead = CompactWriter(io.BytesIO(), header).coding_overhead(lanes, len(payload))
    assert len(frame) == len(payload) + overhead + len(STORED) - 3


@pytest.mark.parametrize("frame", [CODED, STORED], ids=["coded", "stored"])
def test_every_change_of_one_byte_raises(frame: bytes) -> None:
    for position, byte in enumerate(frame):
        for other in set(range(256)) - {byte}:
            damaged = frame[:position] + bytes([other]) + frame[position + 1 :]
            with pytest.raises(LmcompressError):
                read_all(damaged)


@pytest.mark.parametrize("frame", [CODED, STORED], ids=["coded", "stored"])
def test_every_truncation_lost_and_doubled_byte_raises(frame: bytes) -> None:
    for position in range(len(frame)):
        with pytest.raises(TruncatedFrameError):
            read_all(frame[:position])
        with pytest.raises(LmcompressError):
            read_all(frame[:position] + frame[position + 1 :])
        with pytest.raises(LmcompressError):
            read_all(frame[: position + 1] + frame[position:])


@pytest.mark.parametrize("garbage", [b"\0", b"\n", b"\x89", b"PK\x03\x04", bytes(300)])
def test_trailing_bytes_raise(garbage: bytes) -> None:
    with pytest.raises(CorruptFrameError):
        read_all(CODED + garbage)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_after_the_magic_raise(data: bytes) -> None:
    with pytest.raises(LmcompressError):
        read_all(CODED[:4] + data)


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        pytest.param(CODED[:4] + b"\x98" + CODED[5:-4], UnsupportedVersionError, id="method 0"),
        pytest.param(CODED[:4] + b"\x8f" + CODED[5:-4], CorruptFrameError, id="no arithmetic"),
        pytest.param(CODED[:4] + b"\x1f" + CODED[5:-4], CorruptFrameError, id="no top bit"),
        pytest.param(CODED[:4] + b"\x91" + CODED[5:-4], CorruptFrameError, id="stored with more"),
        pytest.param(CODED.replace(b"\x02\x02\x03", b"\x02\x01\x03")[:-4], CorruptFrameError,
                     id="one lane written out"),
        pytest.param(CODED.replace(b"\xac\x02", b"\x81\x00")[:-4], CorruptFrameError,
                     id="padded varint"),
        pytest.param(CODED.replace(b"\xac\x02", b"\x01")[:-4], CorruptFrameError,
                     id="more lanes than bytes"),
        pytest.param(CODED.replace(b"\xac\x02", b"\0")[:-4], CorruptFrameError,
                     id="no raw bytes"),
    ],
)  # fmt: skip
def test_what_no_frame_says_is_refused_under_a_right_checksum(
    frame: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        read_all(with_crc32(frame))


class Hungry(io.BytesIO):
    """Remembers the most that was asked for at once."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        self.most = max(self.most, size)
        return super().read(size)


@pytest.mark.parametrize("raw_bytes", [1 << 30, (1 << 30) + 1, 1 << 62])
def test_declared_sizes_are_not_believed(raw_bytes: int) -> None:
    stored = Hungry(CODED[:4] + b"\x81" + encode_varint(raw_bytes) + bytes(100))
    head = CODED[:4] + b"\x92" + bytes(4) + encode_varint(raw_bytes) + b"\x03" + RAW_CHECKSUM

    with pytest.raises(CorruptFrameError):
        CompactReader(stored)
    assert stored.most <= PIECE_BYTES
    if raw_bytes > 1 << 30:
        with pytest.raises(CorruptFrameError, match="expected 1 to 2"):
            read_all(with_crc32(head + b"abc"))


def test_what_a_payload_cannot_hold_is_refused(tiny_model: Model) -> None:
    head = COMPACT_MAGIC + b"\x92" + tiny_model.fingerprint[:4] + encode_varint(1 << 30)

    with pytest.raises(CorruptFrameError, match="3 payload bytes cannot hold"):
        read_all(with_crc32(head + b"\x03" + RAW_CHECKSUM + b"abc"))


@given(
    raw=st.binary(max_size=400) | st.text("ab \n", max_size=400).map(str.encode),
    lanes=st.integers(1, 9),
    primed=st.booleans(),
    adaptive=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_bytes_come_back(raw: bytes, lanes: int, primed: bool, adaptive: bool) -> None:
    config = CodecConfig(
        lanes=lanes, compact=True, prompt=PROMPT if primed else None, adaptive=adaptive
    )
    model = "none" if adaptive else GOLDEN_MODEL

    frame = lmcompress.compress(raw, model, config)

    assert len(frame) <= len(raw) + 11  # stored if that is shorter
    assert lmcompress.decompress(frame, model, CodecConfig(prompt=PROMPT)) == raw


GOLDEN_MODEL = Path(__file__).parents[1] / "golden" / "v1" / "models" / "golden-window"


def test_awkward_inputs_come_back(tiny_model: Model, awkward_input: bytes) -> None:
    raw = awkward_input[:3000]

    frame = lmcompress.compress(raw, tiny_model, CodecConfig(compact=True))

    assert lmcompress.decompress(frame) == raw
    assert len(frame) < len(lmcompress.compress(raw, tiny_model)) - 30


def test_damage_anywhere_is_an_error_in_decompression(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, PRIMED)
    for position in range(len(frame)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[position] ^= flip
            with pytest.raises(LmcompressError):
                lmcompress.decompress(bytes(damaged), tiny_model, PRIMED)
        with pytest.raises(TruncatedFrameError):
            lmcompress.decompress(frame[:position], tiny_model, PRIMED)


def test_a_wrong_payload_with_right_crc_gives_no_wrong_bytes(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(compact=True))
    [(header, [(segment, payload)])] = read_all(frame)
    found = []
    for position in range(len(payload)):
        damaged = bytearray(payload)
        damaged[position] ^= 1 << int(np.random.default_rng(position).integers(8))
        forged = pack_compact(header, segment, bytes(damaged))
        try:
            restored = lmcompress.decompress(forged)
        except CorruptFrameError:
            found.append(position)
        else:  # several ends of the coder's bytes may stand for the same text
            assert position == len(payload) - 1
            assert restored == TEXT
    assert len(found) >= len(payload) - 1


def test_frames_of_both_kinds_may_be_joined(tiny_model: Model) -> None:
    parts = [TEXT, b"", b"x", TEXT[:90]]
    frames = [
        lmcompress.compress(part, tiny_model, CodecConfig(compact=compact))
        for part in parts
        for compact in (True, False)
    ]

    assert lmcompress.decompress(b"".join(frames)) == b"".join(part * 2 for part in parts)


def test_a_missing_prompt_is_asked_for_by_its_hash(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, PRIMED)

    wanted = PROMPT.sha256[:4].hex()
    with pytest.raises(
        PromptNotFoundError, match=f"begins with {wanted}, found none: pass prompt="
    ):
        lmcompress.decompress(frame)
    wrong = CodecConfig(prompt=Prompt(b"another", "wrong.txt"))
    with pytest.raises(PromptNotFoundError, match=rf"{wanted}, found wrong\.txt"):
        lmcompress.decompress(frame, config=wrong)


def test_another_prompt_or_model_with_the_same_prefix_gives_no_wrong_bytes(
    tiny_model: Model,
) -> None:
    [(header, [(segment, payload)])] = read_all(lmcompress.compress(TEXT, tiny_model, PRIMED))
    other = Prompt(b"another text")
    forged = [
        CompactHeader(1, header.fingerprint, other.sha256[:4]),
        CompactHeader(1, bytes(4), header.prompt_sha256),
    ]

    for prompt, wrong in zip((other, PROMPT), forged, strict=True):
        frame = pack_compact(wrong, segment, payload)
        with pytest.raises(
            CorruptFrameError, match=r"another model or prompt|cannot be decoded|ends too early"
        ):
            lmcompress.decompress(frame, config=CodecConfig(prompt=prompt))


def test_a_newer_arithmetic_is_refused(tiny_model: Model) -> None:
    [(header, [(segment, payload)])] = read_all(lmcompress.compress(TEXT, tiny_model, PRIMED))

    frame = pack_compact(CompactHeader(7, header.fingerprint), segment, payload)

    with pytest.raises(UnsupportedVersionError, match="arithmetic version 7"):
        lmcompress.decompress(frame)


def test_a_model_that_is_not_at_hand_is_named_by_its_prefix(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(compact=True))
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    prefix = tiny_model.fingerprint[:4].hex()
    with pytest.raises(ModelNotFoundError, match=f"begins with {prefix}, found none.*lmc-3m"):
        lmcompress.decompress(frame)
    with pytest.raises(FingerprintMismatchError, match=f"begins with {prefix}.*pass the model"):
        lmcompress.decompress(frame, model="none")
    assert lmcompress.decompress(frame, model=tiny_model) == TEXT
    assert lmcompress.decompress(frame, model=tiny_model.folder) == TEXT


def test_two_models_that_may_be_it_are_both_named(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(compact=True))
    for name in ("one", "same", "two"):
        shutil.copytree(tiny_model.folder, tmp_path / name)
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))
    card, fingerprint = tmp_path / "two" / "model.json", tiny_model.fingerprint.hex()

    shutil.copytree(tmp_path / "two", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.json").write_text("no JSON")
    assert lmcompress.decompress(frame) == TEXT  # one model under three names

    card.write_text(card.read_text().replace(fingerprint, fingerprint[:8] + "0" * 24))
    with pytest.raises(ModelNotFoundError, match=r"those of .*one, .*two: say which it was"):
        lmcompress.decompress(frame)
    assert lmcompress.decompress(frame, model=tmp_path / "one") == TEXT


def test_a_float_checkpoint_is_found_by_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmcompress.models.checkpoint import load_network, save_float_checkpoint

    save_float_checkpoint(load_network(GOLDEN_MODEL), {"trained_on": []}, tmp_path / "float")
    frame = lmcompress.compress(TEXT, tmp_path / "float", CodecConfig(compact=True))
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    assert lmcompress.decompress(frame) == TEXT


def test_what_is_longer_than_a_segment_is_refused_before_it_is_compressed(
    tiny_model: Model, tmp_path: Path
) -> None:
    config = CodecConfig(compact=True, segment_bytes=100)

    assert lmcompress.decompress(lmcompress.compress(TEXT[:100], tiny_model, config)) == TEXT[:100]
    seen: list[int] = []
    with pytest.raises(LmcompressError, match="found more than 100 bytes"):
        compress_stream(io.BytesIO(TEXT), io.BytesIO(), tiny_model, config, seen.append)
    assert seen == []
    with (
        pytest.raises(LmcompressError, match="found more than 100 bytes"),
        lmcompress.open(tmp_path / "text.lmc", "wb", tiny_model, config) as file,
    ):
        file.write(TEXT)
    assert (tmp_path / "text.lmc").read_bytes() == b""


def test_compact_files_open_like_others(tiny_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "text.lmc"
    with lmcompress.open(path, "wb", tiny_model, CodecConfig(compact=True)) as file:
        file.write(TEXT[:50])
        file.write(TEXT[50:])

    assert path.read_bytes() == lmcompress.compress(TEXT, tiny_model, CodecConfig(compact=True))
    with lmcompress.open(path) as file:
        assert file.read() == TEXT


def test_the_command_line_makes_and_reads_them(run: Run, text_file: Path, tmp_path: Path) -> None:
    frame, prompt = tmp_path / "book.txt.lmc", tmp_path / "prompt"
    prompt.write_bytes(PROMPT.raw)

    assert run("compress", text_file, "-m", "tiny", "--compact", "--prompt", prompt).code == 0
    text_file.unlink()

    assert_one_line_error(run("test", frame), PROMPT.sha256[:4].hex(), "--prompt FILE")
    assert run("test", frame, "--prompt", prompt).code == 0
    assert run("decompress", frame, "--prompt", prompt).code == 0
    assert text_file.read_bytes() == TEXT


def test_the_command_line_refuses_what_is_too_long(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, "-m", "tiny", "--compact", "--segment-bytes", 100)

    assert_one_line_error(result, "more than 100 bytes", "leave out compact", "--segment-bytes")
    assert names(text_file.parent) == [text_file.name]
