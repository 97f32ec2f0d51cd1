"""How do published families compress, size by size?

    python -m experiments.pretrained_sizes [--quick] [--family NAME]

Fetches each model of a family that can be reached, writes a real file of each text, decodes and
compares it. A model that cannot be fetched keeps its line in the table, which says so: with a
network, the same command fills it in. Rows are kept as they are measured. Base and instruct
checkpoints are told apart, as are the precisions of what is fetched.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import lmcompress
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
from experiments.support.records import Row, provenance, result_folder
from experiments.support.tables import write_table
from lmcompress import corpora
from lmcompress.benchmark.records import append_rows, read_rows
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
    millions: float
    """Parameters, in millions, as its authors count them."""
    kind: str = "base"


FAMILIES: dict[str, tuple[Published, ...]] = {
    "ladder": tuple(
        Published(f"ladder-{size}", millions, "ours")
        for size, millions in (("50k", 0.05), ("200k", 0.2), ("800k", 0.8), ("3200k", 3.2))
    ),
    "lmc": (Published("lmc-3m", 3.3, "ours"), Published("lmc-5m", 5.2, "ours")),
    "GPT-2": tuple(
        Published(f"{HUB}openai-community/gpt2{suffix}", millions)
        for suffix, millions in (("", 124), ("-medium", 355), ("-large", 774), ("-xl", 1558))
    ),
    "Pythia": tuple(
        Published(f"{HUB}EleutherAI/pythia-{size}", millions)
        for size, millions in (
            ("70m", 70), ("160m", 162), ("410m", 405), ("1b", 1012), ("1.4b", 1415),
            ("2.8b", 2775), ("6.9b", 6857), ("12b", 11846),
        )
    ),
    "SmolLM2": (
        Published("smollm2-135m", 135, "instruct, Q4_1"),
        *(
            Published(f"{HUB}HuggingFaceTB/SmolLM2-{size}", millions)
            for size, millions in (("135M", 135), ("360M", 362), ("1.7B", 1711))
        ),
    ),
    "Qwen3": tuple(
        Published(f"{HUB}Qwen/Qwen3-{size}-Base", millions)
        for size, millions in (("0.6B", 596), ("1.7B", 1721), ("4B", 4022), ("8B", 8191))
    ),
}  # fmt: skip
COLORS = dict(zip(FAMILIES, (BLACK, BLUE, VERMILION, GREEN, ORANGE, PINK, SKY), strict=False))
NOTE = (
    "Bits per byte of whole files, each decoded and compared; seconds for all of them, of a "
    "machine that may have done other work. A line without figures waits for a network: the model "
    "could not be fetched where this was run."
)


def fetched(published: Published) -> Model:
    """Returns a model, fetched if it is not here; raises LmcompressError if that fails."""
    if published.name.startswith(HUB) or published.name in PUBLISHED:
        return fetching.fetch_model(published.name)
    return load_model(published.name)


def measured(family: str, published: Published, model: Model, text: str) -> Row:
    """Compresses a text and decodes it; returns its row."""
    raw = corpora.load(text)
    lmcompress.decompress(lmcompress.compress(raw[:64], model), model)  # compiles
    started = time.perf_counter()
    frame = lmcompress.compress(raw, model)
    between = time.perf_counter()
    if lmcompress.decompress(frame, model) != raw:
        raise click.ClickException(f"{published.name} did not give {text} back")
    return {
        "family": family,
        **published._asdict(),
        "corpus": text,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw bytes": len(raw),
        "parameters": model.num_parameters,
        "compressed bytes": len(frame),
        "compress s": round(between - started, 2),
        "decompress s": round(time.perf_counter() - between, 2),
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
    """Returns a line for each model: its rate on each text, and on all."""
    lines = []
    for family in families:
        for published in FAMILIES[family]:
            mine = {row["corpus"]: row for row in rows if row["name"] == published.name}
            all_there = mine.keys() >= set(texts)
            rates = [_rate([mine[text]]) if text in mine else None for text in texts]
            lines.append(
                {
                    "family": family,
                    "model": published.name.removeprefix(HUB),
                    "kind": published.kind,
                    "millions of parameters": published.millions,
                    **dict(zip(texts, rates, strict=True)),
                    "all": _rate(list(mine.values())) if all_there else None,
                    "seconds": round(_seconds(mine.values()), 1) if all_there else None,
                }
            )
    return lines


def _rate(rows: Sequence[Row]) -> float:
    sizes = (sum(row[what] for row in rows) for what in ("compressed bytes", "raw bytes"))
    return round(bits_per_byte(*sizes), 4)


def _seconds(rows: Any) -> float:
    return float(sum(row["compress s"] + row["decompress s"] for row in rows))


def draw(lines: Sequence[Row]) -> Figure:
    """Returns bits per byte against parameters and against seconds."""
    figure = new_figure(7.2, 3.2)
    panels = figure.subplots(1, 2, sharey=True)
    there = [line for line in lines if line["all"] is not None]
    for axes, across, label in zip(
        panels, ("millions of parameters", "seconds"),
        ("million parameters", "seconds, both ways"), strict=True,
    ):  # fmt: skip
        for family in dict.fromkeys(line["family"] for line in there):
            mine = [line for line in there if line["family"] == family]
            points = [line[across] for line in mine], [line["all"] for line in mine]
            axes.plot(*points, "o-", ms=4, color=COLORS[family], label=family)
        axes.set(xscale="log", xlabel=label, ylim=(0, None))
    panels[0].set_ylabel("bits per byte, whole files")
    panels[0].legend(fontsize=8)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="1 kB, our own ladder only, into results/quick.")
@click.option("--family", "chosen", multiple=True, type=click.Choice(list(FAMILIES)))
def main(quick: bool, chosen: tuple[str, ...]) -> None:
    """Compresses three texts with each model of published families that can be fetched."""
    families = QUICK_FAMILIES if quick else tuple(FAMILIES)
    texts = QUICK_TEXTS if quick else TEXTS
    with result_folder(NAME, quick) as folder:
        path = folder / "records.jsonl"
        for family in chosen or families:
            for published in FAMILIES[family]:
                done = {(row["name"], row["corpus"]) for row in read_rows(path)}
                missing = [text for text in texts if (published.name, text) not in done]
                for row in rows_of(family, published, missing) if missing else ():
                    append_rows([row], path)
                    click.echo(f"{row['name']} {row['corpus']}: {_rate([row])}", err=True)
        lines = table(read_rows(path), families, texts)
        write_table(lines, folder, NOTE)
        write_figures({"by-size": lambda: draw(lines)}, folder)


if __name__ == "__main__":
    main()
