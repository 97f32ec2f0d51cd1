"""Honest predictors are proven, and their figures are those of a file."""

from __future__ import annotations

import base64
import hashlib
import os
import py_compile
import sys
from pathlib import Path

import pytest

from lmcompress.errors import NotProvenError
from lmcompress.prove import proving
from lmcompress.prove.proving import Questions, prove
from tests.support.predictors import COUNTS, SETTINGS, TEXT, UNIFORM, proven, write

TOKENS = (
    UNIFORM
    + """
PIECES = [b"it was the ", b"It was the ", b"times", b" of ", *(bytes([b]) for b in range(256)), b""]

class Predictor(Uniform):
    symbols = PIECES
    def reset(self):
        self.row = np.full(len(PIECES), 1 / len(PIECES))
    def tokenize(self, raw):
        at = 0
        while at < len(raw):
            fits = (s for s, p in enumerate(PIECES) if p and raw.startswith(p, at))
            symbol = next(fits)
            yield symbol
            at += len(PIECES[symbol])
"""
)
"""Tokens of several bytes, all equally likely, and one of none."""


def test_uniform_takes_eight_bits_a_byte(tmp_path: Path) -> None:
    source = UNIFORM + "class Predictor(Uniform): pass"

    found = proven(tmp_path, source)

    assert found.ideal_bits_per_byte == pytest.approx(8, abs=1e-9)
    assert 0 <= found.compressed_bytes - len(TEXT) - 2 <= 1  # the count takes two, the end one
    assert found.bits_per_byte == 8 * found.compressed_bytes / len(TEXT)
    assert found.model_bytes == len(source) + len("predictor.py")
    total = found.compressed_bytes + found.model_bytes
    assert found.bits_per_byte_with_model == 8 * total / len(TEXT)
    assert found.raw_sha256 == hashlib.sha256(TEXT).hexdigest()


def test_what_learns_is_proven_at_its_ideal(tmp_path: Path) -> None:
    found = proven(tmp_path, COUNTS + "class Predictor(Counts): pass")

    assert found.ideal_bits_per_byte is not None
    assert 0 < found.bits_per_byte - found.ideal_bits_per_byte < 8 * 4 / len(TEXT)
    assert found.bits_per_byte < 5


def test_tokens_may_have_several_bytes_or_none(tmp_path: Path) -> None:
    found = proven(tmp_path, TOKENS)

    assert found.vocab_size == 261
    assert found.num_symbols < len(TEXT) / 2
    assert found.bits_per_byte < 4


def test_a_predictor_may_be_a_module_of_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "WIDTH = 256\n", "sizes.py")
    inner = "from predictor.sizes import WIDTH\nclass Predictor(Uniform): symbols = WIDTH\n"
    write(tmp_path, UNIFORM + inner, "inner.py")
    (tmp_path / "text.txt").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)

    found = prove("predictor.inner", Path("text.txt"), SETTINGS)

    assert [file.path for file in found.files] == ["inner.py", "sizes.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all files count")
def test_only_opened_files_count(tmp_path: Path) -> None:
    """Those that a library of C opens, too; and not what lies beside."""
    write(tmp_path, "", "weights.bin").write_bytes(bytes(1000))
    write(tmp_path, "", "notes.txt").write_bytes(bytes(5000))
    source = (
        UNIFORM
        + """
import ctypes, os
libc = ctypes.CDLL(None)
class Predictor(Uniform):
    def reset(self):
        super().reset()
        path = os.path.join(os.path.dirname(__file__), "weights.bin")
        assert libc.open(path.encode(), os.O_RDONLY) > 0
"""
    )

    found = proven(tmp_path, source)

    assert [(file.path, file.num_bytes) for file in found.files] == [
        ("predictor.py", len(source)),
        ("weights.bin", 1000),
    ]


def test_impossible_symbols_cost_24_bits(tmp_path: Path) -> None:
    found = proven(tmp_path, UNIFORM + """
class Predictor(Uniform):
    def reset(self):
        self.row = np.zeros(256)
        self.row[0] = 1
""")  # fmt: skip

    assert found.ideal_bits_per_byte is None
    assert found.impossible_symbols == len(TEXT)
    assert found.bits_per_byte == pytest.approx(24, abs=0.1)
    assert "ideal infinite" in found.line


def test_the_file_is_in_the_certificate(tmp_path: Path) -> None:
    found = proven(tmp_path, UNIFORM + "class Predictor(Uniform): pass")

    assert found.compressed == base64.b64decode(found.compressed_base64)
    assert len(found.compressed) == found.compressed_bytes
    assert found.isolation["level"]
    assert found.packages["numpy"]
    assert found.peak_bytes["decode"] > 1 << 20
    assert "trained on this text" in " ".join(found.not_shown)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "predictor.py has no class Predictor"),
        (
            "class Predictor:\n    symbols = 256\n",
            "class Predictor lacks reset, probabilities, push",
        ),
        (
            UNIFORM + "class Predictor(Uniform): symbols = 128\n",
            "symbols is 128, expected 256 or a",
        ),
        (UNIFORM + "class Predictor(Uniform): symbols = ['a']\n", "symbols is list, expected 256"),
        (UNIFORM + "class Predictor(Uniform): symbols = [b'a']\n", "there are 1 symbols"),
        ("import nonsense_that_is_missing\n", "ModuleNotFoundError in line 1 of predictor.py"),
        ("class Predictor(\n", "SyntaxError"),
    ],
    ids=["no-class", "no-methods", "number", "strings", "one-symbol", "import", "syntax"],
)
def test_what_is_no_predictor_is_named(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(NotProvenError, match=message):
        proven(tmp_path, source)


def test_an_unknown_predictor_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotProvenError, match=r"found no predictor 'nowhere\.py'"):
        prove("nowhere.py", write(tmp_path, "text"), SETTINGS)


def test_the_text_may_not_lie_where_the_predictor_reads(tmp_path: Path) -> None:
    predictor = write(tmp_path, UNIFORM + "class Predictor(Uniform): pass")

    with pytest.raises(NotProvenError, match="lies in the predictor's folder"):
        prove(str(predictor), write(tmp_path, "text", "text.txt"), SETTINGS)
    with pytest.raises(NotProvenError, match="where Python's libraries are"):
        prove(str(predictor), Path(base64.__file__), SETTINGS)


def test_what_it_was_trained_on_is_read_before_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "code", lambda *_: pytest.fail("the text was coded"))
    predictor = write(tmp_path, UNIFORM + "class Predictor(Uniform): pass")
    questions = Questions(trained_on=(tmp_path / "nowhere",))

    with pytest.raises(FileNotFoundError, match="nowhere"):
        prove(str(predictor), write(tmp_path / "texts", "text"), SETTINGS, questions)


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotProvenError, match="is empty"):
        proven(tmp_path, UNIFORM + "class Predictor(Uniform): pass", b"")


def test_bytecode_beside_a_predictor_is_not_read(tmp_path: Path) -> None:
    """It would not be counted, and Python would not even open the source."""
    path = write(tmp_path, UNIFORM + "class Predictor(Uniform): symbols = 128\n")
    py_compile.compile(str(path))
    status = path.stat()
    honest = UNIFORM + "class Predictor(Uniform): symbols = 256\n"
    path.write_text(honest, "utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that it seems up to date

    found = prove(str(path), write(tmp_path, "the text", "../text.txt"), SETTINGS)

    assert [file.path for file in found.files] == ["predictor.py"]
