"""The paper's findings compared with our records, question by question.

    python -m experiments.findings [--quick]

Measures nothing: reads the records of the paper's other experiments, and writes the table in
docs/paper.md. Published figures are marked; they come from published.tsv, Table 2's from
here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click

from experiments import figure_2, figure_4, table_1, table_2
from experiments.support import modalities, paper, table_1_intervals
from experiments.support.records import RESULTS, Row, result_folder
from experiments.support.table_1_intervals import BLOCK_CHUNKS, bits_of, is_clearly_less
from experiments.support.table_1_tables import Line, lines_of, published_lines
from experiments.support.tables import markdown_of, write_texts
from lmcompress.benchmark.records import Record, read_jsonl, read_rows
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.tables import replace_between_markers

NAME = "findings"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "paper.md"
PAPER_TABLE_2 = "helps small models, hurts large ones (38M: ASCII 6.4 %, BPE 20K 9.0 %)"
"""Published: Delétang et al. (2024), Table 2."""
_ERRORS = 2
"""Standard errors that a change must pass to count as one."""
_FOREIGN = ("images", "speech")


def path_of(name: str) -> Path:
    """Returns an experiment's records.

    Raises:
      LmcompressError: If they are not there.
    """
    path = RESULTS / name / "records.jsonl"
    if not path.is_file():
        raise LmcompressError(f"found no {path.name} of {name}: run python -m experiments.{name}")
    return path


def table() -> list[Row]:
    """Returns a line for each question."""
    records = read_jsonl(path_of(table_1.NAME))
    lengths = figure_4.current(read_rows(path_of(figure_4.NAME)))
    vocabularies = read_rows(path_of(table_2.NAME))
    return [
        falls_with_size(records, read_rows(RESULTS / table_1.NAME / table_1_intervals.FILE)),
        turns_up(records),
        loses_on_foreign_data(records),
        falls_with_length(lengths),
        gains_from_vocabulary(vocabularies),
    ]


def line(
    question: str, published: str, measured: str, *, sample: str, agrees: Sequence[bool]
) -> Row:
    """Returns a line of the table.

    Args:
      question: Which could have been answered otherwise.
      published: The paper's answer.
      measured: Ours, in rates.
      sample: What was measured, and how much of it.
      agrees: Whether each case has the paper's direction.
    """
    count, share = sum(agrees), f"in {sum(agrees)} of {len(agrees)} cases"
    return {
        "question": question,
        "published": published,
        "measured": measured,
        "sample": sample,
        "same direction": "yes" if count == len(agrees) else share if count else "no",
    }


def ladder(records: Sequence[Record]) -> list[Line]:
    """Returns the ladder's rows of chunks, smallest model first."""
    lines = [row for row in lines_of(records) if row.is_chunked and row.compressor in paper.LADDER]
    return sorted(lines, key=lambda row: row.num_parameters)


def published_ladder() -> list[Line]:
    """Returns the paper's own Transformers, smallest first."""
    return [row for row in published_lines() if row.compressor.startswith("Transformer")]


def falls_with_size(records: Sequence[Record], chunks: Sequence[Row]) -> Row:
    """Compares the rates on text of models by size; a step counts if it is clear on the chunks."""
    rows = ladder(records)
    names = [row.compressor for row in rows]
    steps = list(itertools.pairwise(names))
    shown, clear = [], []
    for text in table_1.TEXTS:
        mine = [row for row in chunks if modalities.modality_of(row["corpus"]) == text]
        found = [is_clearly_less(mine, larger, smaller) for smaller, larger in steps]
        count = len(bits_of(mine, names[0])) // BLOCK_CHUNKS
        shown.append(
            f"{text} {_chain([row.rates[text] for row in rows])} ({sum(found)} of {len(steps)} "
            f"steps clear at 95 %, on {count} blocks of {BLOCK_CHUNKS} chunks)"
        )
        clear += found
    return line(
        "Do rates on text fall with the model's size?",
        f"200K → 800K → 3.2M: {_chain([row.rates['text'] for row in published_ladder()])}",
        f"{' → '.join(name.removeprefix('ladder-') for name in names)}: {'; '.join(shown)}",
        sample=f"{len(rows)} models, {len(table_1.TEXTS)} texts of {_size(rows, table_1.TEXTS)}",
        agrees=clear,
    )


def turns_up(records: Sequence[Record]) -> Row:
    """Compares where the adjusted rate is lowest, for each size of the data.

    It turns up where the best model is neither the first nor the last of the ladder. Only the
    paper's size counts: with little data the smallest model is the best, and with more a larger
    one, almost whatever was measured, by how the rate is adjusted.
    """
    rows = figure_2.select(figure_2.points(records), sample=modalities.EXTRACT)
    best = {
        size: figure_2.best(figure_2.select(rows, data_set_bytes=size))
        for size in figure_2.DATA_SET_BYTES
    }
    shown = "; ".join(
        f"{size // 10**6:,} MB {row['model']} ({100 * row['projected_adjusted_rate']:.1f} %)"
        for size, row in best.items()
    )
    large = {row.compressor: row.adjusted["text"] for row in published_lines()}
    names = [row.compressor for row in ladder(records)]
    largest = max(best)
    return line(
        "Does the adjusted rate fall and then rise with the model's size?",
        f"at 1 GB: 3.2M {_percent(large['Transformer 3.2M'])}, "
        f"Chinchilla 1B {_percent(large['Chinchilla 1B'])}",
        f"best of the ladder on extract, projected: {shown}",
        sample=f"{len(names)} models, 1 text of {_size(ladder(records), [modalities.EXTRACT])}, "
        f"whose rate is taken for {len(best)} sizes of data; judged at {largest // 10**6:,} MB",
        agrees=[best[largest]["model"] not in (names[0], names[-1])],
    )


def loses_on_foreign_data(records: Sequence[Record]) -> Row:
    """Compares the rates of models trained on text on what is no text."""
    rows, published = ladder(records), published_ladder()
    gzip = next(row for row in lines_of(records) if row.is_chunked and "gzip" in row.compressor)
    return line(
        "Do small models trained on text lose on images and speech?",
        "; ".join(f"{name} {_span([row.rates[name] for row in published])}" for name in _FOREIGN),
        "; ".join(
            f"{name} {_span([row.rates[name] for row in rows])}{_mark(name, rows)}, "
            f"gzip {_percent(gzip.rates[name])}"
            for name in _FOREIGN
        ),
        sample=f"{len(rows)} models, {_size(rows, _FOREIGN)} of each kind",
        agrees=[row.rates[name] > gzip.rates[name] for row in rows for name in _FOREIGN],
    )


def falls_with_length(rows: Sequence[Row]) -> Row:
    """Compares rates of the first bytes of a chunk with those of all, for every model.

    gzip and xz are left out: their rates fall because more bytes share a header.
    """
    shown, clear = [], []
    chunks = sorted({row["num_chunks"] for row in rows})
    for modality in figure_4.DRAWN:
        found = [row for row in rows if row["modality"] == modality and row["num_parameters"]]
        default = next(row for row in found if row["codec"] == DEFAULT_MODEL)
        falling = [_falls(row) for row in found]
        shown.append(
            f"{modality} {DEFAULT_MODEL} {_chain(_ends(default))}, "
            f"clear for {sum(falling)} of {len(found)} models"
        )
        clear += falling
    return line(
        "Does the rate fall with the length of the sequence?",
        "yes, most for models in context (Figure 4)",
        f"{figure_4.SHORT} → {figure_4.LONG:,} bytes (scored; clear: by more than {_ERRORS} "
        f"standard errors): {'; '.join(shown)}",
        sample=f"{_range(chunks)} chunks of {figure_4.LONG:,} bytes of each kind",
        agrees=clear,
    )


def _ends(row: Row) -> list[float]:
    """Returns the mean rates of short and of long sequences."""
    return [row["mean_rates"][row["lengths"].index(n)] for n in (figure_4.SHORT, figure_4.LONG)]


def _falls(row: Row) -> bool:
    """Whether the rate falls from short to long by more than chance would have it."""
    return bool(row["mean_change"] < -_ERRORS * row["standard_error_of_change"])


def gains_from_vocabulary(rows: Sequence[Row]) -> Row:
    """Compares bytes with the largest vocabulary, at each width."""
    shown, gains = [], []
    sizes = sorted({row["raw_bytes"] for row in rows})
    for width, found in table_2.lines_of(rows):
        plain = next(row for row in found if row["tokenizer"] == "bytes")
        largest = max(found, key=lambda row: row["vocab_size"])
        rates = [row["bits_per_byte"] / 8 for row in (plain, largest)]
        shown.append(f"width {width}: bytes → {largest['tokenizer']} {_chain(rates)}")
        gains.append(rates[1] < rates[0])
    return line(
        "Do larger vocabularies help small models?",
        PAPER_TABLE_2,
        "; ".join(shown),
        sample=f"{len(shown)} widths, one seed each, 1 text of {_range(sizes)} bytes",
        agrees=gains,
    )


def _mark(name: str, rows: Sequence[Line]) -> str:
    """Returns a mark for rates of which one or more have no file."""
    return " (scored)" if any(name in row.scored for row in rows) else ""


def _size(rows: Sequence[Line], names: Sequence[str]) -> str:
    """Returns how many bytes of each of these modalities were measured."""
    sizes = {row.raw_bytes[name] for row in rows for name in names}
    return f"{_range(sorted(sizes))} bytes"


def _range(values: Sequence[int]) -> str:
    """Returns the first and the last of rising numbers, one if they are the same."""
    return " to ".join(f"{value:,}" for value in dict.fromkeys((values[0], values[-1])))


def _percent(rate: float) -> str:
    return f"{100 * rate:,.1f} %"


def _chain(rates: Sequence[float]) -> str:
    return " → ".join(f"{100 * rate:.1f}" for rate in rates) + " %"


def _span(rates: Sequence[float]) -> str:
    return f"{100 * min(rates):.0f} to {100 * max(rates):.0f} %"


def markdown() -> str:
    """Returns the table, as it is in docs/paper.md."""
    note = (
        "**Published** is what the paper prints (Delétang et al., 2024: 1 GB of each kind, models "
        "trained on enwik8); measured is what the records in results/ give, rates in percent of "
        "the raw size."
    )
    return markdown_of(table(), note).replace("---:", "---")  # sentences, not figures


def page_text(text: str) -> str:
    """Returns docs/paper.md with the table that the records give."""
    return replace_between_markers(text, NAME, markdown())


@click.command()
@click.option("--quick", is_flag=True, help="The table into results/quick; the page stays.")
def main(quick: bool) -> None:
    """Sets the paper's findings beside ours."""
    with result_folder(NAME, quick) as folder:
        write_texts({"table.md": markdown()}, folder)
        if not quick:
            text = page_text(PAGE.read_text("utf-8"))
            PAGE.write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
