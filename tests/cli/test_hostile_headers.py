"""Anyone may have written a file: its text is shown quoted, never obeyed and never advice."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lmcompress.format.frame import Method, raw_checksum
from lmcompress.format.full import FrameWriter
from lmcompress.format.header import FrameHeader
from lmcompress.models.store import load_model
from tests.support.command_line import Run, assert_one_line_error

HIDDEN = "safe\u202eexe.\u200bdoc"
RAW = b"It was the best of times"


def frame(folder: Path, **fields: object) -> Path:
    """Writes a frame with one coded segment and these fields in its header."""
    known = {"model": "lmc-3m", "fingerprint": bytes(range(1, 17)), "arithmetic_version": 1}
    sink = io.BytesIO()
    writer = FrameWriter(sink, FrameHeader(**known | fields))  # type: ignore[arg-type]
    writer.write_coded(len(RAW), 1, bytes(16), raw_checksum(RAW), Method.CODED)
    writer.finish()
    path = folder / "hostile.lmc"
    path.write_bytes(sink.getvalue())
    return path


def test_a_name_from_a_header_is_never_a_command_to_run(run: Run, tmp_path: Path) -> None:
    result = run("test", frame(tmp_path, model="hf:evil/model"))

    assert_one_line_error(
        result, "made with model 'hf:evil/model'", "not installed", "pass the model that made it"
    )
    assert "lmcompress fetch" not in result.stderr


@pytest.mark.parametrize("model", ["../tiny", "/etc", "."])
def test_a_name_from_a_header_is_never_a_path(run: Run, tmp_path: Path, model: str) -> None:
    assert_one_line_error(run("test", frame(tmp_path, model=model)), "not installed")


def test_a_published_model_is_one_to_fetch(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing was fetched
    result = run("test", frame(tmp_path, model="smollm2-135m"))

    assert_one_line_error(result, "run `lmcompress fetch smollm2-135m`")


@pytest.mark.parametrize(
    "fields",
    [
        {"model": HIDDEN},
        {"tokenizer": HIDDEN},
        {
            "fingerprint": load_model("lmc-3m").fingerprint,
            "prompt_name": HIDDEN,
            "prompt_sha256": bytes(32),
        },
    ],
    ids=["model", "tokenizer", "prompt"],
)
@pytest.mark.parametrize("command", ["test", "info"])
def test_what_a_terminal_would_hide_is_escaped(
    run: Run, tmp_path: Path, fields: dict[str, object], command: str
) -> None:
    result = run(command, frame(tmp_path, **fields))

    shown = result.stdout.decode() + result.stderr
    assert r"safe\u202eexe.\u200bdoc" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
