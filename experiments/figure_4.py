"""The paper's Figure 4: how does the rate fall with the length of the sequence?

    python -m experiments.figure_4 [--quick] [--bytes N] [--model NAME]... [--derive]

Chunks of 2,048 bytes of each modality, each compressed on its own. The rate at length L is that of
the first L bytes of a chunk, averaged over the chunks, with the standard error of that mean. For
gzip and xz it is the size of these prefixes as files, each decompressed and compared, headers
included. For models it is the quantized code length, the sum of -log2(frequency / 2**24):
**scored**, no files, without the adaptive stage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from experiments.support import modalities, paper
from experiments.support.figures import BLACK, COLOR_OF, PAGE_WIDTH, new_figure, write_derived
from experiments.support.records import RowFile, provenance, result_folder
from experiments.support.tables import markdown_of
from lmcompress.benchmark import classical
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.records import csv_text
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL, Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "figure_4"
LENGTHS = tuple(2**power for power in range(12))
CLASSICAL = ("gzip-9", "xz-9e")
DRAWN = ("text", "images", "speech")
FILES, SCORED = "files", "scored"
SHORT, LONG = 16, 2048
"""Each row has the change of the rate between these two lengths, chunk by chunk."""
_SHOWN_LENGTHS = (16, 128, 1024, 2048)


def prefix_rates_of_files(codec: Codec, chunks: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Returns compressed over raw bytes of each chunk's prefixes, (chunks, len(LENGTHS)).

    Raises:
      LmcompressError: If a prefix does not decompress to the same bytes.
    """
    rates = np.empty((len(chunks), len(LENGTHS)))
    for row, chunk in zip(rates, chunks, strict=True):
        for column, length in enumerate(LENGTHS):
            compressed = codec.compress(chunk[:length])
            if codec.decompress(compressed) != chunk[:length]:
                raise LmcompressError(f"{codec.name} did not return the same bytes: report a bug")
            row[column] = len(compressed) / length
    return rates


def prefix_rates_of_model(model: Model, raw: bytes) -> npt.NDArray[np.float64]:
    """Returns code length over raw bits of each chunk's prefixes, (chunks, len(LENGTHS))."""
    totals = np.cumsum(paper.chunk_bits(raw, model), axis=1)
    lengths = np.array(LENGTHS)
    return np.asarray(totals[:, lengths - 1] / (8 * lengths))


def check_chunks(num_bytes: int) -> None:
    """Raises LmcompressError unless the bytes are whole chunks, at least two."""
    paper.chunks_at_once(num_bytes)
    if num_bytes == modalities.CHUNK_BYTES:
        raise LmcompressError("found one chunk, expected two or more: change --bytes")


def measure(file: RowFile, samples: Sequence[modalities.Sample], models: Sequence[Model]) -> None:
    """Appends the rows that are missing."""
    source = provenance(NAME)
    for sample in samples:
        codecs: list[Codec | Model] = [*map(classical.get, CLASSICAL), *models]
        for codec in codecs:
            identity = _identity(codec, sample)
            if file.matching(identity):
                continue
            if isinstance(codec, Model):
                rates, kind = prefix_rates_of_model(codec, sample.raw), SCORED
            else:
                rates, kind = prefix_rates_of_files(codec, sample.chunks()), FILES
            row = (
                identity
                | {
                    "modality": sample.modality,
                    "corpus": sample.name,
                    "raw_bytes": len(sample.raw),
                    "num_parameters": codec.num_parameters,
                    "kind": kind,
                    "num_chunks": len(rates),
                    "lengths": LENGTHS,
                    "mean_rates": np.round(rates.mean(axis=0), 6).tolist(),
                    "standard_errors": np.round(standard_error(rates), 6).tolist(),
                }
                | change_of(rates)
            )
            file.append(row | source)
            click.echo(f"{sample.modality} {codec.name} {row['mean_rates'][-1]:.4f}", err=True)


def standard_error(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the standard error of the mean over the first axis, of two values or more."""
    return np.asarray(values.std(axis=0, ddof=1) / math.sqrt(len(values)))


def change_of(rates: npt.NDArray[np.float64]) -> dict[str, float]:
    """Returns how the rate of the same chunks changes from SHORT to LONG, with standard error."""
    change = rates[:, LENGTHS.index(LONG)] - rates[:, LENGTHS.index(SHORT)]
    return {
        "mean_change": round(float(change.mean()), 6),
        "standard_error_of_change": round(float(standard_error(change)), 6),
    }


def _identity(codec: Codec | Model, sample: modalities.Sample) -> dict[str, Any]:
    if isinstance(codec, Model):
        version, fingerprint = "", codec.fingerprint.hex()
    else:
        version, fingerprint = codec.version, ""
    return {
        "codec": codec.name,
        "codec_version": version,
        "fingerprint": fingerprint,
        "corpus_sha256": sample.sha256,
    }


def current(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows to show, by modality: classical codecs, the ladder by size, the default.

    The last of each codec and modality, of the size that was measured last.
    """
    found = {
        (row["codec"], row["modality"]): row
        for row in rows
        if row["raw_bytes"] == rows[-1]["raw_bytes"]
    }
    names = modalities.MODALITIES
    return sorted(
        found.values(),
        key=lambda row: (
            names.index(row["modality"]), row["codec"] == DEFAULT_MODEL, row["num_parameters"]
        ),
    )  # fmt: skip


def derived_texts(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = current(rows)
    count = shown[0]["num_chunks"]
    lines = []
    for row in shown:
        cells = dict(zip(row["lengths"], _cells(row), strict=True))
        lines.append(
            {"modality": row["modality"], "codec": row["codec"], "measured as": row["kind"]}
            | {f"{length:,} bytes": cells[length] for length in _SHOWN_LENGTHS}
        )
    note = (
        "Compressed over raw size, in percent, of the first bytes of a chunk that is compressed "
        f"on its own: mean and its standard error over {count} chunks of "
        f"{modalities.CHUNK_BYTES:,} bytes of each modality. files: sizes of files that were "
        "decompressed and compared; "
        "scored: exact code lengths, no files. A file of a few bytes is mostly header. Chunks of "
        "text follow one another and are alike, so its errors are somewhat too small."
    )
    return {"summary.csv": csv_text(list(_tidy(shown))), "table.md": markdown_of(lines, note)}


def _cells(row: dict[str, Any]) -> Iterator[str]:
    for mean, error in zip(row["mean_rates"], row["standard_errors"], strict=True):
        yield f"{100 * mean:.1f} ± {100 * error:.1f}"


def _tidy(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    fields = (
        "modality",
        "codec",
        "num_parameters",
        "fingerprint",
        "kind",
        "corpus_sha256",
        "num_chunks",
    )
    for row in rows:
        for length, mean, error in zip(
            row["lengths"], row["mean_rates"], row["standard_errors"], strict=True
        ):
            yield {name: row[name] for name in fields} | {
                "length_bytes": length, "mean_rate": mean, "standard_error": error,
            }  # fmt: skip


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Returns a panel for each modality: rates against length, standard errors as bands."""
    figure = new_figure(PAGE_WIDTH, 3.6)
    panels = figure.subplots(1, len(DRAWN), sharey=True)
    for axes, modality in zip(panels, DRAWN, strict=True):
        for row in (row for row in current(rows) if row["modality"] == modality):
            style = "-" if row["kind"] == SCORED else "--"
            rates = 100 * np.array(row["mean_rates"])
            errors = 100 * np.array(row["standard_errors"])
            color = COLOR_OF.get(row["codec"], BLACK)
            axes.plot(row["lengths"], rates, style, color=color, lw=1.4, label=row["codec"])
            band = rates - errors, rates + errors
            axes.fill_between(row["lengths"], *band, color=color, alpha=0.15, lw=0)
        axes.axhline(100, color="0.8", lw=0.8, zorder=0)
        axes.set_xscale("log", base=2)
        axes.set(title=modality, xlabel="length, bytes", ylim=(0, 250))
        axes.set_xticks((1, 8, 64, 512), ("1", "8", "64", "512"))
    panels[0].set_ylabel("compressed over raw size, %")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
        frameon=False, title_fontsize=8,
        title="dashed: files; solid: scored; bands: one standard error",
    )  # fmt: skip
    return figure


@click.command()
@click.option(
    "--quick", is_flag=True, help="Two models, 4 kB of each modality, into results/quick."
)
@paper.options
def main(quick: bool, num_bytes: int | None, models: tuple[str, ...], derive: bool) -> None:
    """Measures how rates fall with the length of the sequence."""
    with result_folder(NAME, quick, derive=derive) as folder:
        file = RowFile(folder / "records.jsonl")
        if not derive:
            size = paper.size_of(num_bytes, quick)
            check_chunks(size)
            samples = [modalities.sample(modality, size) for modality in modalities.MODALITIES]
            measure(file, samples, paper.chosen_models(models, quick))
        write_derived(folder, derived_texts(file.rows), {"rate-by-length": lambda: draw(file.rows)})


if __name__ == "__main__":
    main()
