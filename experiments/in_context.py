"""How much does a model learn from what it reads before a record?

    python -m experiments.in_context [--quick]

Records of three kinds, each compressed as a compact file of its own after a prompt: the 0 to 64 KiB
of the same kind that come before all of them. The default model, a token-level one, the adaptive
stage alone, and zstd with the same bytes as a dictionary. Every file is decompressed and compared.
The interval is the bootstrap's over records. Delétang et al. (2024), 3.4, ask the same of longer
and longer chunks: Figure 4.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

import lmcompress
from experiments.prompt_records import Coder, records_of, zstd_coder
from experiments.support.figures import BLUE, GREEN, GREY, ORANGE, new_figure, write_figures
from experiments.support.intervals import interval
from experiments.support.records import (
    Row,
    result_folder,
    with_machine,
    without_source,
    write_results,
)
from experiments.support.speed_codecs import FASTER
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig, Prompt, corpora
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, Model, load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "in_context"
KINDS = {
    "Linux log, 20 lines": "logs/Linux_2k.log",
    "JSON records": "logs/us-sba-data-catalog.json",
    "English paragraphs": "text/nltk-abc-science.txt",
}
TESTED, QUICK_TESTED = 24, 3
PROMPT_BYTES, QUICK_PROMPTS = (0, 256, 1024, 4096, 16384, 65536), (0, 1024)
MODELS = {NO_MODEL: "stage alone", DEFAULT_MODEL: DEFAULT_MODEL, FASTER: FASTER}
ZSTD = "zstd-22"
COLORS = {ZSTD: GREY, "stage alone": GREEN, DEFAULT_MODEL: BLUE, FASTER: ORANGE}
LENGTH = 1000
"""Bytes from which on a paragraph is a record."""
NOTE = (
    "Compact files, decompressed and compared. 95 % intervals: bootstrap over the records, which "
    "were the same for all. First: seconds for the first record, which reads the prompt; next: for "
    "each one after it, while the process keeps what it read. The machine did other work too."
)


def files_of(kind: str) -> list[bytes]:
    """Returns the records of a kind."""
    if not kind.startswith("English"):
        return records_of(KINDS[kind])
    found, record = [], b""
    for line in corpora.load(KINDS[kind]).splitlines(keepends=True):
        record += line
        if len(record) >= LENGTH:
            found.append(record)
            record = b""
    return found


def coder_of(model: Model | None, prompt: bytes) -> Coder:
    """Returns what compresses after a prompt, which may be empty; no prompt is kept on disk."""
    if model is None:
        return zstd_coder(prompt or None)
    known = Prompt(prompt, "p") if prompt else None
    config = CodecConfig(prompt=known, compact=True, prompt_cache=0)
    return (
        lambda raw: lmcompress.compress(raw, model, config),
        lambda frame: lmcompress.decompress(frame, model, config),
    )


def row_of(kind: str, name: str, coder: Coder, files: Sequence[bytes], prompt: bytes) -> Row:
    """Compresses all files and compares what comes back; returns the row of a table."""
    encode, decode = coder
    started = time.perf_counter()
    frames = [encode(files[0])]
    first = time.perf_counter() - started
    frames += [encode(raw) for raw in files[1:]]
    seconds = time.perf_counter() - started - first
    if [decode(frame) for frame in frames] != list(files):
        raise click.ClickException(f"{name} did not give {kind} back")
    raw, sizes = [len(file) for file in files], [8 * len(frame) for frame in frames]
    low, high = interval(sizes, raw)
    return {
        "kind": kind,
        "coder": name,
        "prompt bytes": len(prompt),
        "bits per byte": round(bits_per_byte(sum(sizes) // 8, sum(raw)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "records": len(files),
        "raw bytes": sum(raw),
        "first s": round(first, 3),
        "next s": round(seconds / (len(files) - 1), 3),
    }


def rows_of(kind: str, tested: int, sizes: Sequence[int]) -> list[Row]:
    """Returns a row for each coder and length of the prompt; all compress the same records."""
    records = files_of(kind)
    before = b"".join(records[:-tested])
    models: dict[str, Model | None] = {ZSTD: None}
    models |= {shown: load_model(name) for name, shown in MODELS.items()}
    rows = []
    for name, model in models.items():
        coder_of(model, b"")[0](records[0])  # compiles
        for size in sizes:
            prompt = before[len(before) - size :]
            coder = coder_of(model, prompt)
            rows.append(row_of(kind, name, coder, records[-tested:], prompt))
            click.echo(f"{kind} {name}, {size}: {rows[-1]['bits per byte']}", err=True)
    return rows


def draw(rows: Sequence[Row]) -> Figure:
    """Returns bits per byte against the prompt's length, a panel for each kind."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    figure = new_figure(3.4 * len(kinds), 3.2)
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    sizes = list(dict.fromkeys(row["prompt bytes"] for row in rows))
    labels = ["none", *(f"{n} B" if n < 1024 else f"{n >> 10} KiB" for n in sizes[1:])]
    for axes, kind in zip(panels, kinds, strict=True):
        for coder, color in COLORS.items():
            mine = [row for row in rows if (row["kind"], row["coder"]) == (kind, coder)]
            rates = [row["bits per byte"] for row in mine]
            axes.plot(range(len(mine)), rates, "o-", ms=3, color=color, label=coder)
            bounds = ([row[side] for row in mine] for side in ("low", "high"))
            axes.fill_between(range(len(mine)), *bounds, color=color, alpha=0.15, lw=0)
        axes.set_title(kind, fontsize=10)
        axes.set_xticks(range(len(sizes)), labels, fontsize=7)
        axes.set(xlabel="read before each record", ylim=(0, None))
    panels[0].set_ylabel("bits per byte, whole files")
    panels[-1].legend(fontsize=7)
    return figure


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(list(map(without_source, rows)), with_machine(NOTE, rows))}


@click.command()
@click.option("--quick", is_flag=True, help="Three records of one kind, into results/quick.")
def main(quick: bool) -> None:
    """Measures records against the length of the prompt."""
    with result_folder(NAME, quick) as folder:
        tested, sizes = (QUICK_TESTED, QUICK_PROMPTS) if quick else (TESTED, PROMPT_BYTES)
        kinds = list(KINDS)[:1] if quick else list(KINDS)
        rows = [row for kind in kinds for row in rows_of(kind, tested, sizes)]
        fingerprints = {shown: load_model(name).fingerprint.hex() for name, shown in MODELS.items()}
        records = [
            {
                **row,
                "fingerprint": fingerprints.get(row["coder"], ""),
                "corpus_sha256": hashlib.sha256(corpora.load(KINDS[row["kind"]])).hexdigest(),
            }
            for row in rows
        ]
        write_results(NAME, records, folder, derived_texts)
        write_figures({"in-context": lambda: draw(rows)}, folder)


if __name__ == "__main__":
    main()
