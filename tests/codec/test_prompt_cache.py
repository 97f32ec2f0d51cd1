"""What a prompt taught is kept on disk: the same bytes with and without it, whatever happens."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec import session
from lmcompress.codec.prompt import PromptState
from lmcompress.models.store import Model
from lmcompress.system.array_cache import ArrayCache

PROMPT = Prompt(b"".join(b'{"id": %d, "kind": "record"}\n' % i for i in range(60)), "records")
RAW = b'{"id": 61, "kind": "record"}\n'
ARRAYS = [np.arange(1000), np.zeros((2, 3), np.uint8), np.zeros(2, [("a", "i8"), ("b", "u1")])]
KEY = (b"fingerprint", b"prompt")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("lmcompress.system.array_cache.cache_home", lambda: tmp_path)
    monkeypatch.setattr(session, "_WORTH_KEEPING", 0.0)
    return tmp_path / "prompts"


@pytest.fixture(params=["tiny_model", "token_model"])
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


def compressed(model: Model, monkeypatch: pytest.MonkeyPatch, **config: int) -> bytes:
    """Compresses as a new process does, which remembers no prompt."""
    monkeypatch.setattr("lmcompress.codec.prompt._last", None)
    return lmcompress.compress(RAW, model, CodecConfig(prompt=PROMPT, lanes=1, **config))


def test_the_second_process_reads_what_the_first_one_kept(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compressed(model, monkeypatch)
    monkeypatch.setattr(PromptState, "read", None)  # would fail

    assert compressed(model, monkeypatch) == first
    monkeypatch.setattr("lmcompress.codec.prompt._last", None)
    assert lmcompress.decompress(first, model, prompt=PROMPT) == RAW


def test_a_prompt_is_kept_for_its_model_and_text_alone(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed(tiny_model, monkeypatch)
    none = lmcompress.load_model("none")

    other = compressed(none, monkeypatch)

    assert len(list(folder.iterdir())) == 2
    assert lmcompress.decompress(other, prompt=PROMPT) == RAW


def test_what_other_code_kept_is_not_read(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compressed(tiny_model, monkeypatch)
    monkeypatch.setattr(session, "sources_digest", lambda _: "of another version")

    assert compressed(tiny_model, monkeypatch) == first
    assert len(list(folder.iterdir())) == 2


def test_nothing_is_kept_in_a_cache_of_no_bytes(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed(tiny_model, monkeypatch, prompt_cache=0)

    assert not folder.exists()


def test_a_prompt_that_is_read_fast_is_not_kept(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_WORTH_KEEPING", 1e9)
    compressed(tiny_model, monkeypatch)

    assert not folder.exists()


def test_damage_counts_as_absence(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compressed(tiny_model, monkeypatch)
    [path] = folder.iterdir()
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[:-1], whole[:5000] + b"\0\1" + whole[5002:]):
        path.write_bytes(content)

        assert compressed(tiny_model, monkeypatch) == first
        assert path.read_bytes() == whole  # made again


def test_a_folder_that_cannot_be_written_is_no_error(
    tiny_model: Model,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lmcompress.system.array_cache.replace_atomically", refuse)

    assert lmcompress.decompress(compressed(tiny_model, monkeypatch), prompt=PROMPT) == RAW
    assert "cannot keep prompts for next time" in caplog.text


def test_a_file_in_the_place_of_the_folder_is_no_error(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_bytes(b"not a folder")

    assert compressed(tiny_model, monkeypatch) == compressed(tiny_model, monkeypatch)


def test_arrays_come_back_with_their_types(tmp_path: Path) -> None:
    cache = ArrayCache("x", 1 << 20, tmp_path)

    cache.save(KEY, ARRAYS)

    found = cache.load(KEY)
    assert found is not None
    assert [array.dtype for array in found] == [array.dtype for array in ARRAYS]
    for array, expected in zip(found, ARRAYS, strict=True):
        assert np.array_equal(array, expected)
    assert cache.load((*KEY, 1)) is None


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    cache = ArrayCache("x", 27_000, tmp_path)  # room for three
    for number in range(3):
        cache.save((number,), ARRAYS)
        for path in tmp_path.iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert cache.load((0,)) is not None  # used again

    cache.save((3,), ARRAYS)

    kept = [number for number in range(4) if cache.load((number,)) is not None]
    assert kept == [0, 2, 3]


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    ArrayCache("x", 100, tmp_path / "cache").save(KEY, ARRAYS)

    assert not (tmp_path / "cache").exists()


def save_and_load(folder: Path) -> int:
    """Returns how often something was found, which was whole each time."""
    cache, count = ArrayCache("x", 27_000, folder), 0
    for number in range(40):
        cache.save((number % 5,), ARRAYS)
        found = cache.load((number % 5,))
        if found is not None:
            assert np.array_equal(found[0], ARRAYS[0])
            count += 1
    return count


def test_many_processes_share_a_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert min(pool.map(save_and_load, [tmp_path] * 4)) > 0

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 27_000
