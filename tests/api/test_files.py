"""`lmcompress.open`: files that read and write as those of gzip do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.codec.stream import FrameCompressor
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL, Model
from tests.support.command_line import TEXT


def test_files_open_like_gzip_files(tiny_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "text.lmc"
    with lmcompress.open(path, "wt", tiny_model, encoding="utf-8") as file:
        file.write("naïve\nlines\n")

    with lmcompress.open(path, "rt", encoding="utf-8") as file:
        assert file.readlines() == ["naïve\n", "lines\n"]
    with pytest.raises(FileExistsError):
        lmcompress.open(path, "xb", tiny_model)
    with pytest.raises(ValueError, match="mode"):
        lmcompress.open(path, "r+")  # type: ignore[call-overload]


def test_a_file_written_in_pieces_equals_one_compressed_at_once(
    tiny_model: Model, tmp_path: Path
) -> None:
    config = CodecConfig(segment_bytes=100)
    with lmcompress.open(tmp_path / "text.lmc", "wb", tiny_model, config) as file:
        for start in range(0, len(TEXT), 37):
            file.write(TEXT[start : start + 37])  # type: ignore[arg-type]

    expected = lmcompress.compress(TEXT, tiny_model, config)
    assert (tmp_path / "text.lmc").read_bytes() == expected


def test_a_file_object_is_read_and_written_and_stays_open(tiny_model: Model) -> None:
    sink = io.BytesIO()
    with lmcompress.open(sink, "wt", tiny_model, encoding="utf-8", newline="\r\n") as file:
        file.write("naïve\n")

    assert lmcompress.decompress(sink.getvalue()) == "naïve\r\n".encode()
    sink.seek(0)
    with lmcompress.open(sink, "rt", encoding="ascii", errors="replace") as file:
        assert file.read() == "na\ufffd\ufffdve\n"
    assert not sink.closed


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


def test_after_any_error_a_file_has_not_ended(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.lmc"
    path.write_bytes(lmcompress.compress(TEXT, tiny_model))

    def decode(*_args: object, **_options: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("lmcompress.codec.decoder.decode_segment", decode)
    with lmcompress.open(path) as file:
        for _ in range(2):
            with pytest.raises(MemoryError):
                file.read(1)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_after_a_failed_write_a_file_is_cut_short_not_doubled(
    error: type[BaseException], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, raw = tmp_path / "text.lmc", TEXT * 30
    write = FrameCompressor.write_segment
    calls: list[bytes] = []

    def fail_once(self: FrameCompressor, piece: bytes, _progress: object) -> None:
        calls.append(piece)
        if len(calls) == 1:
            raise error
        write(self, piece, None)

    monkeypatch.setattr(FrameCompressor, "write_segment", fail_once)
    config = CodecConfig(segment_bytes=8000)

    def write_all() -> None:
        with lmcompress.open(path, "wb", tiny_model, config) as file:
            for start in range(0, len(raw), 3000):
                file.write(raw[start : start + 3000])

    with pytest.raises(error):
        write_all()

    assert len(calls) == 1
    with pytest.raises(LmcompressError):
        lmcompress.decompress(path.read_bytes())


def test_settings_that_cannot_work_empty_no_file(tmp_path: Path) -> None:
    path = tmp_path / "old.lmc"
    path.write_bytes(b"old")

    with pytest.raises(ValueError, match="nothing would predict"):
        lmcompress.open(path, "wb", "none", CodecConfig(adaptive=False))
    assert path.read_bytes() == b"old"


def test_a_file_that_exists_is_not_opened_exclusively(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "text.lmc").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        lmcompress.open(tmp_path / "text.lmc", "x", tiny_model)
    assert (tmp_path / "text.lmc").read_bytes() == b"precious"


def test_encodings_are_for_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add t to the mode"):
        lmcompress.open(tmp_path / "text.lmc", "wb", encoding="utf-8")  # type: ignore[call-overload]
    assert not (tmp_path / "text.lmc").exists()


@pytest.mark.parametrize("text", [{"encoding": "utf-typo"}, {"newline": "bad"}], ids=str)
def test_text_settings_that_are_wrong_empty_no_file(text: dict, tmp_path: Path) -> None:
    path = tmp_path / "precious.lmc"
    path.write_bytes(b"precious")

    with pytest.raises((LookupError, ValueError)):
        lmcompress.open(path, "wt", "none", **text)

    assert path.read_bytes() == b"precious"
