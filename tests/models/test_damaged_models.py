"""A damaged model is refused before memory of the size that it claims is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import ModelNotFoundError
from lmcompress.models.checkpoint import load_exact_checkpoint, load_network
from lmcompress.models.manifest import read_manifest
from tests.support.command_line import Run

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "models" / "golden-stream"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a small model in an otherwise empty folder for LMCOMPRESS_MODELS."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "models" / "damaged"))


def change(folder: Path, part: str, **values: Any) -> None:
    """Gives values in `model.json` others."""
    manifest = json.loads((folder / "model.json").read_text("utf-8"))
    manifest[part] |= values
    (folder / "model.json").write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"bias": None}, "bias is None, expected bool"),
        ({"n_layer": 10**9, "attention_windows": []}, "n_layer is 1000000000, expected 4096"),
        ({"vocab_size": 10**9}, "has 104,064 bytes of weights, expected at least one"),
        ({"mlp_hidden": 10**9}, "has 104,064 bytes of weights, expected at least one"),
    ],
)
def test_a_model_with_a_damaged_configuration_is_left_out_with_a_reason(
    folder: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    reason: str,
) -> None:
    change(folder, "config", **values)
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(folder.parent))

    listed = run("models", "--json")

    assert listed.code == 0
    assert folder.name not in {row["name"] for row in json.loads(listed.stdout)}
    assert [line for line in listed.stderr.splitlines() if "left out" in line and reason in line]
    with pytest.raises(ModelNotFoundError):
        load_exact_checkpoint(folder)


def test_a_float_network_larger_than_its_file_is_not_built(folder: Path) -> None:
    change(folder, "config", mlp_hidden=1 << 40)

    with pytest.raises(ModelNotFoundError, match="expected at least one for each of"):
        load_network(folder)


def test_names_of_corpora_are_strings(folder: Path) -> None:
    change(folder, "card", trained_on=["enwik8", 9])

    with pytest.raises(ModelNotFoundError, match="trained_on 9, expected strings"):
        read_manifest(folder)
