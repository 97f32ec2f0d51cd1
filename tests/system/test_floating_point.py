"""Files and models do not depend on how the caller's thread rounds."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lmcompress
from lmcompress import LmcompressError
from lmcompress.models.fetching import fetch_model
from lmcompress.models.store import Model, load_model
from lmcompress.system import floating_point
from lmcompress.system.floating_point import default_floating_point, is_default
from tests.support.command_line import TEXT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8, reason="needs 64-bit Linux"
)
C = ctypes.CDLL(None)
TO_NEAREST, DOWN, UP, TO_ZERO = (0, 0x400, 0x800, 0xC00)


def flush_subnormals(is_on: bool) -> None:
    import torch

    torch.set_flush_denormal(is_on)


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "downward": (lambda: C.fesetround(DOWN), lambda: C.fesetround(TO_NEAREST)),
    "upward": (lambda: C.fesetround(UP), lambda: C.fesetround(TO_NEAREST)),
    "to zero": (lambda: C.fesetround(TO_ZERO), lambda: C.fesetround(TO_NEAREST)),
    "flush to zero": (lambda: flush_subnormals(True), lambda: flush_subnormals(False)),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Iterator[Callable[[], object]]:
    """Changes the environment when it is called; a test's end restores it."""
    begin, end = CHANGES[request.param]
    yield begin
    end()
    assert is_default()


def test_a_changed_environment_is_noticed_replaced_and_restored(
    change: Callable[[], object],
) -> None:
    change()
    assert not is_default()

    with default_floating_point():
        assert is_default()

    assert not is_default()


def test_files_are_the_same_in_any_environment(
    tiny_model: Model, change: Callable[[], object]
) -> None:
    expected = lmcompress.compress(TEXT, tiny_model, threads=2, lanes=2)
    ideal = lmcompress.score(TEXT, tiny_model).ideal_code_length_bits

    change()

    assert lmcompress.compress(TEXT, tiny_model, threads=2, lanes=2) == expected
    assert lmcompress.decompress(expected, tiny_model, threads=2) == TEXT
    assert lmcompress.score(TEXT, tiny_model).ideal_code_length_bits == ideal


def test_a_float_model_is_quantized_to_the_same_weights(
    tiny_model: Model, change: Callable[[], object], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tiny_model.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())

    change()

    assert load_model(copy).fingerprint == tiny_model.fingerprint


def test_a_fetched_model_is_the_same_in_any_environment(
    change: Callable[[], object], tmp_path: Path
) -> None:
    pytest.importorskip("tokenizers")
    from tests.support.published_checkpoints import checkpoint
    from tests.support.token_model import tokenizer_json

    source = tmp_path / "published"
    checkpoint("llama", source)
    (source / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    expected = fetch_model(str(source), "before", tmp_path).fingerprint

    change()

    assert fetch_model(str(source), "after", tmp_path).fingerprint == expected


FIRST_USE = """
import ctypes, sys
import numba, safetensors.numpy  # their source is not compiled again

sys.pycache_prefix, sys.dont_write_bytecode = sys.argv[1], True
ctypes.CDLL(None).fesetround(int(sys.argv[2]))
import lmcompress

print(lmcompress.load_model("ladder-50k").fingerprint.hex())
"""


@pytest.mark.parametrize("mode", [DOWN, UP, TO_ZERO])
def test_source_that_is_compiled_in_another_environment_has_the_same_numbers(
    mode: int, tmp_path: Path
) -> None:
    program = [sys.executable, "-c", FIRST_USE, str(tmp_path), str(mode)]

    printed = subprocess.check_output(program, text=True)

    assert printed.strip() == load_model("ladder-50k").fingerprint.hex()


def test_what_cannot_be_set_is_one_clear_error(
    change: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floating_point, "_library", lambda: None)

    change()

    with pytest.raises(LmcompressError, match="restore the default"), default_floating_point():
        pass
