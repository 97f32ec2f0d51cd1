"""How do published families compress, size by size?

    python -m experiments.pretrained_sizes [--quick] [--family NAME]

Fetches each model of a family that can be reached, writes a real file of each text, decodes and
compares it. The table's note names the models that could not be fetched: with a network, the same
command adds them. Rows are kept as they are measured. Base and instruct checkpoints are told apart,
as are the precisions of what is fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from experiments.support.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    new_figure,
    write_figures,
)
from experiments.support.paper import LADDER
from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.tables import markdown_of, write_texts
from experiments.support.timing import round_trip
from lmcompress import corpora
from lmcompress.errors import LmcompressError
from lmcompress.metrics import bits_per_byte
from lmcompress.models import fetching
from lmcompress.models.catalog import HUB, PUBLISHED
from lmcompress.models.store import Model, load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "pretrained_sizes"
TEXTS = (
    "canterbury/alice29.txt@40000+8192",
    "enwik/enwik8.head-4150000@3000000+8192",
    "code/python-3.11.7-stdlib.py.txt@0+8192",
)
QUICK_TEXTS = ("canterbury/alice29.txt@40000+1024",)
QUICK_FAMILIES = ("ladder",)


class Published(NamedTuple):
    """A checkpoint of a family."""

    name: str
    """As `lmcompress fetch` takes it, or in the package."""
    kind: str = "base"


FAMILIES: dict[str, tuple[Published, ...]] = {
    "ladder": tuple(Published(name, "ours") for name in LADDER),
    "lmc": (Published("lmc-3m", "ours"), Published("lmc-5m", "ours")),
    "GPT-2": tuple(
        Published(f"{HUB}openai-community/gpt2{suffix}")
        for suffix in ("", "-medium", "-large", "-xl")
    ),
    "Pythia": tuple(
        Published(f"{HUB}EleutherAI/pythia-{size}")
        for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
    ),
    "SmolLM2": (
        Published("smollm2-135m", "instruct, Q4_1"),
        *(Published(f"{HUB}HuggingFaceTB/SmolLM2-{size}") for size in ("135M", "360M", "1.7B")),
    ),
    "Qwen3": tuple(
        Published(f"{HUB}Qwen/Qwen3-{size}-Base") for size in ("0.6B", "1.7B", "4B", "8B")
    ),
}
COLORS = dict(zip(FAMILIES, (BLACK, BLUE, VERMILION, GREEN, ORANGE, PINK, SKY), strict=False))
NOTE = (
    "Bits per byte of files of these slices, each decoded and compared; seconds for all of them, "
    "of a machine that may have done other work."
)


def fetched(published: Published) -> Model:
    """Returns a model, fetched if it is not here; raises LmcompressError if that fails."""
    if published.name.startswith(HUB) or published.name in PUBLISHED:
        return fetching.fetch_model(published.name)
    return load_model(published.name)


def measured(family: str, published: Published, model: Model, text: str) -> Row:
    """Compresses a text and decodes it; returns its row."""
    raw = corpora.load(text)
    round_trip(raw[:64], model)  # compiles
    found = round_trip(raw, model)
    return {
        "family": family,
        **published._asdict(),
        "corpus": text,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw bytes": len(raw),
        "parameters": model.num_parameters,
        "compressed bytes": found.num_bytes,
        "compress s": round(found.compress_seconds, 2),
        "decompress s": round(found.decompress_seconds, 2),
        "fingerprint": model.fingerprint.hex(),
        **provenance(NAME),
    }


def rows_of(family: str, published: Published, texts: Sequence[str]) -> Iterator[Row]:
    """Yields a row for each text, or none if the model cannot be had, which is said."""
    try:
        model = fetched(published)
    except LmcompressError as exc:
        click.echo(f"left out {published.name}: {exc}", err=True)
        return
    for text in texts:
        yield measured(family, published, model, text)


def table(rows: Sequence[Row], families: Sequence[str], texts: Sequence[str]) -> list[Row]:
    """Returns a line for each model that was measured: its rate on each text, and on all."""
    lines = []
    for family in families:
        for published in FAMILIES[family]:
            mine = {row["corpus"]: row for row in rows if row["name"] == published.name}
            if not mine.keys() >= set(texts):
                continue
            lines.append(
                {
                    "family": family,
                    "model": published.name,
                    "kind": published.kind,
                    "parameters": mine[texts[0]]["parameters"],
                    **{text: _rate([mine[text]]) for text in texts},
                    "all": _rate(list(mine.values())),
                    "seconds": round(_seconds(mine.values()), 1),
                }
            )
    return lines


def note(lines: Sequence[Row], families: Sequence[str]) -> str:
    """Returns what the table shows, and which models it lacks."""
    there = {line["model"] for line in lines}
    names = [published.name for family in families for published in FAMILIES[family]]
    missing = [name.removeprefix(HUB) for name in names if name not in there]
    if not missing:
        return NOTE
    return (
        f"{NOTE} Not measured, as a rule because they could not be fetched where this was run: "
        f"{', '.join(missing)}. With a network, the same command adds them."
    )


def _rate(rows: Sequence[Row]) -> float:
    sizes = (sum(row[what] for row in rows) for what in ("compressed bytes", "raw bytes"))
    return round(bits_per_byte(*sizes), 4)


def _seconds(rows: Any) -> float:
    return float(sum(row["compress s"] + row["decompress s"] for row in rows))


def draw(lines: Sequence[Row]) -> Figure:
    """Returns bits per byte against parameters and against seconds."""
    figure = new_figure(7.2, 3.2)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, across, label in zip(
        panels, ("parameters", "seconds"), ("parameters", "seconds, both ways"), strict=True
    ):
        for family in dict.fromkeys(line["family"] for line in lines):
            mine = [line for line in lines if line["family"] == family]
            points = [line[across] for line in mine], [line["all"] for line in mine]
            axes.plot(*points, "o-", ms=4, color=COLORS[family], label=family)
        axes.set(xscale="log", xlabel=label, ylim=(0, None))
    panels[0].set_ylabel("bits per byte, all slices")
    panels[0].legend(fontsize=8)
    return figure


def derived_texts(
    rows: Sequence[Row], families: Sequence[str] = tuple(FAMILIES), texts: Sequence[str] = TEXTS
) -> dict[str, str]:
    """Returns the table of the records."""
    lines = table(rows, families, texts)
    shown = [line | {"parameters": f"{line['parameters']:,}"} for line in lines]
    return {"table.md": markdown_of(shown, note(lines, families))}


@click.command()
@click.option("--quick", is_flag=True, help="1 kB, our own ladder only, into results/quick.")
@click.option("--family", "chosen", multiple=True, type=click.Choice(list(FAMILIES)))
def main(quick: bool, chosen: tuple[str, ...]) -> None:
    """Compresses three texts with each model of published families that can be fetched."""
    families = QUICK_FAMILIES if quick else tuple(FAMILIES)
    texts = QUICK_TEXTS if quick else TEXTS
    with result_folder(NAME, quick) as folder:
        file = RowFile(folder / "records.jsonl")
        for family in chosen or families:
            for published in FAMILIES[family]:
                missing = [
                    text
                    for text in texts
                    if not file.matching({"name": published.name, "corpus": text})
                ]
                for row in rows_of(family, published, missing) if missing else ():
                    file.append(row)
                    click.echo(f"{row['name']} {row['corpus']}: {_rate([row])}", err=True)
        write_texts(derived_texts(file.rows, families, texts), folder)
        write_figures({"by-size": lambda: draw(table(file.rows, families, texts))}, folder)


if __name__ == "__main__":
    main()
