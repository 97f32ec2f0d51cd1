"""What becomes of the false figures of others if a file has to show them?

    python -m experiments.claims [--derive]

Each kind of false claim that filled the tables of a public contest, rebuilt small over the same
n-gram model: `experiments/false_claims/`. "claimed" is what its author would report; "file" is what
a file takes that was decoded, of the same predictor without the part that cannot be decoded.
"""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from experiments.support.figures import BLUE, ORANGE, MakeFigures, new_figure, write_derived
from experiments.support.records import RESULTS, Row, result_folder, write_records
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows
from lmcompress.errors import LmcompressError
from lmcompress.prove.certificate import Certificate
from lmcompress.prove.processes import Settings
from lmcompress.prove.proving import Questions, prove

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "claims"
SOURCES = Path(__file__).parent / "false_claims"
HONEST = Path(__file__).parents[1] / "examples" / "prove" / "ngram.py"
STORED = 0.1
"""Bits per byte under which a model must hold the text: its bar could not be seen."""
TEXT = "text/wikitext-2-test.txt@0+20000"
STEPS = """from {name} import Predictor as Predictor

if "score" in vars(Predictor):
    del Predictor.score
"""
"""The same predictor without the pass over the text from which its figure was taken."""
COLUMNS = ("kind", "seen in", "claimed", "file", "file and model", "what prove says")
NOTE = (
    "Bits per byte. Claimed: as its author would report it. File: a file that was decoded, of the "
    "same predictor without what cannot be decoded. The honest n-gram model takes {honest} on the "
    "same 20,000 bytes of WikiText; U+FFFD is counted on 20,000 bytes of Russian."
)


def names() -> list[str]:
    """Returns the false claims."""
    return sorted(path.stem for path in SOURCES.glob("*.py"))


def measure(name: str) -> Row:
    """Returns what is claimed, what a file takes, and what `prove` says."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, text = Path(temporary) / "predictor", Path(temporary) / "text"
        folder.mkdir()
        module = _staged(name, folder)
        corpus = getattr(module, "TEXT", TEXT)
        raw = corpora.load(corpus)
        text.write_bytes(raw)
        if hasattr(module, "NEEDS_TEXT"):
            (folder / "weights.bin").write_bytes(raw)
        claimed = claimed_bits(module, raw) / getattr(module, "counted", len)(raw)
        verdict, whole = _verdict(folder / f"{name}.py", text, claimed)
        file = whole or _file(folder, name, text)
    document = " ".join((module.__doc__ or "").split())
    kind, seen = re.findall(r"KIND: (.*?)\. SEEN IN: (.*?)\.$", document)[0]
    return {
        "kind": kind,
        "seen in": seen,
        "corpus": corpus,
        "claimed": round(claimed, 4),
        "file": file and round(file.bits_per_byte, 4),
        "file and model": file and round(file.bits_per_byte_with_model, 4),
        "what prove says": verdict,
    }


def _staged(name: str, folder: Path) -> ModuleType:
    """Puts a false claim beside the honest model, and imports it."""
    shutil.copy(HONEST, folder)
    shutil.copy(SOURCES / f"{name}.py", folder)
    (folder / "steps.py").write_text(STEPS.format(name=name), "utf-8")
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(HONEST.stem, None)
    return module


def claimed_bits(module: ModuleType, raw: bytes) -> float:
    """Returns the code length that the author of a figure adds up, in bits."""
    predictor = module.Predictor()
    symbols = list(predictor.tokenize(raw) if hasattr(predictor, "tokenize") else raw)
    predictor.reset()
    rows = predictor.score(symbols) if hasattr(predictor, "score") else _steps(predictor, symbols)
    return sum(-math.log2(min(1.0, row[s])) for row, s in zip(rows, symbols, strict=True))


def _steps(predictor: Any, symbols: list[int]) -> Iterator[Any]:
    for symbol in symbols:
        yield predictor.probabilities()
        predictor.push(symbol)


def _verdict(path: Path, text: Path, claimed: float) -> tuple[str, Certificate | None]:
    """Returns what `prove` says of a figure, and the certificate if there is one."""
    try:
        found = prove(str(path), text, Settings(), Questions(claim=claimed))
    except LmcompressError as exc:
        return re.sub(r" \((encoding|scoring|while).*?\)$", "", str(exc)), None
    assert found.claim is not None
    return f"proven, of its file; {found.claim['explanation']}", found


def _file(folder: Path, name: str, text: Path) -> Certificate | None:
    """Returns the certificate of what can be decoded; None if nothing can."""
    for settings in (Settings(), Settings(normalise=True)):
        try:
            return prove(str(folder / "steps.py"), text, settings)
        except LmcompressError as exc:
            click.echo(f"{name}: {exc}", err=True)
    return None


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows, the lowest claims first."""
    return sorted(rows, key=lambda row: float(row["claimed"]))


def derived_texts(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the table."""
    honest = next(row["file"] for row in rows if row["kind"] == "a second pass")
    return {"table.md": markdown_of(in_order(rows), NOTE.format(honest=honest), COLUMNS)}


def figures(rows: list[dict[str, Any]]) -> MakeFigures:
    """Returns the figure: claimed and file, side by side."""
    return {"claims": lambda: draw(rows)}


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Returns two bars for each kind of claim."""
    figure = new_figure(7.5, 5)
    axes = figure.subplots()
    places = range(len(rows))
    for key, shift, color in (("claimed", -0.2, ORANGE), ("file", 0.2, BLUE)):
        lengths = [row[key] or 0 for row in rows]
        axes.barh([place + shift for place in places], lengths, 0.4, color=color, label=key)
    for place, row in zip(places, rows, strict=True):
        if row["file"] is None:
            axes.text(0.03, place + 0.2, "no file", va="center", fontsize=8)
        elif row["file"] < STORED:
            text = f"both near 0; {row['file and model']:.2f} with the model"
            axes.text(0.03, place, text, va="center", fontsize=8)
    axes.set_yticks(list(places), [row["kind"] for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="bits per byte", xlim=(0, None))
    axes.legend()
    return figure


@click.command()
@click.option("--derive", is_flag=True, help="Rebuild table and figure from the records alone.")
def main(derive: bool) -> None:
    """Proves each false claim, or what is left of it."""
    with result_folder(NAME, quick=False, derive=derive) as folder:
        if not derive:
            rows = []
            for name in names():
                rows.append(measure(name))
                click.echo(f"{name}: {rows[-1]['claimed']} {rows[-1]['file']}", err=True)
            write_records(NAME, rows, folder)
        rows = in_order(read_rows(RESULTS / NAME / "records.jsonl"))
        write_derived(folder, derived_texts(rows), figures(rows))


if __name__ == "__main__":
    main()
