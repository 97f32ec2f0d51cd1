"""What a text shares with training data is found at any place, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompress.prove import overlap
from lmcompress.prove.overlap import find_overlap

RNG = np.random.default_rng(7)
TEXT = RNG.integers(0, 256, 10_000, np.uint8).tobytes()


def test_a_file_is_all_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "training.bin"
    path.write_bytes(TEXT)

    found = find_overlap(TEXT, path)

    assert found.num_bytes == 10_000 // 64 * 64
    assert found.share == 1
    assert found.first == {"text_byte": 0, "file": "training.bin", "file_byte": 0}


def test_pieces_are_found_wherever_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(1000))
    (folder / "deep" / "b.bin").write_bytes(bytes(77) + TEXT[640:1280] + bytes(99))

    found = find_overlap(TEXT, folder)

    assert found.num_bytes == 640
    assert found.share == 10 / (10_000 // 64)
    assert found.first == {"text_byte": 640, "file": str(Path("deep/b.bin")), "file_byte": 77}
    assert "training holds 6.41 % of the text in pieces of 64 bytes: byte 640" in found.line


def test_pieces_across_blocks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_BLOCK_BYTES", 100)
    path = tmp_path / "training.bin"
    path.write_bytes(b"x" * 37 + TEXT)

    found = find_overlap(TEXT, path)

    assert found.share == 1
    assert found.first == {"text_byte": 0, "file": "training.bin", "file_byte": 37}


@pytest.mark.parametrize("training", [b"", b"short", TEXT[:63], TEXT[1:64] + b"x", TEXT[::-1]])
def test_less_than_a_piece_is_nothing(tmp_path: Path, training: bytes) -> None:
    path = tmp_path / "training.bin"
    path.write_bytes(training)

    found = find_overlap(TEXT, path)

    assert (found.num_bytes, found.share, found.first) == (0, 0.0, None)
    assert "holds no piece" in found.line


def test_a_short_text_has_no_pieces(tmp_path: Path) -> None:
    path = tmp_path / "training.bin"
    path.write_bytes(TEXT)

    assert find_overlap(TEXT[:63], path).share == 0


@given(st.binary(max_size=400), st.lists(st.integers(0, 6), max_size=12))
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_a_plain_search(tmp_path_factory, noise, chosen) -> None:  # type: ignore[no-untyped-def]
    """Texts of few letters, whose hashes collide if anything does."""
    text = bytes(byte % 2 for byte in TEXT[:448])
    training = noise.join(text[64 * piece : 64 * piece + 64] for piece in chosen)
    path = tmp_path_factory.mktemp("overlap") / "training.bin"
    path.write_bytes(training)

    expected = sum(text[i : i + 64] in training for i in range(0, 448, 64))

    assert find_overlap(text, path).num_bytes == 64 * expected
