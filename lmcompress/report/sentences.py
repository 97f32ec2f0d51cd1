"""What experiments found, each in a sentence whose numbers are taken from its records.

The words must hold whatever the numbers are: who is smaller is computed like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from lmcompress.benchmark.records import Record, latest
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.results import Experiment, Results
from lmcompress.report.speeds import STAGE, Speed, speeds_of_rows
from lmcompress.report.totals import (
    break_even_bytes,
    codecs_on_all_files,
    model_bytes,
    rate_of_all,
)

_XZ, _ZPAQ, _PPMD, _ZSTD = "xz-9e", "zpaq-5", "ppmd-16", "zstd-22"
_PUBLISHED = "smollm2-135m"
_KILOBYTES = "compress kB/s"
_SAME = "same direction"


class Finding(NamedTuple):
    """What an experiment found."""

    lead: str
    text: str
    """Markdown, one line."""
    experiment: Experiment


def findings(results: Results) -> list[Finding]:
    """Returns what the experiments found, the most important first.

    An experiment whose records lack something that its sentence needs, as those of a part of a run
    may, has none.
    """
    by_name = {one.name: one for one in results.experiments}
    found = []
    for name, (lead, say) in _SENTENCES.items():
        if name in by_name:
            try:
                found.append(Finding(lead, say(by_name[name]), by_name[name]))
            except (LookupError, LmcompressError):
                continue
    return found


def records_of(experiment: Experiment) -> list[Record]:
    """Returns an experiment's current records.

    Raises:
      LmcompressError: If its rows are of another kind.
    """
    return latest(Record.from_dict(dict(row)) for row in experiment.rows)


def _size(experiment: Experiment) -> str:
    records = records_of(experiment)
    classical = {record.codec for record in records if not record.fingerprint} - {"stored"}
    classical &= set(codecs_on_all_files(records))
    best = sorted(classical, key=lambda codec: (rate_of_all(records, codec), codec))[0]
    ours = rate_of_all(records, DEFAULT_MODEL)
    rivals = " and ".join(
        f"{_against(ours, rate_of_all(records, codec))} {codec} ({rate_of_all(records, codec):.3f})"
        for codec in dict.fromkeys((best, _XZ))
    )
    extra = model_bytes(records, DEFAULT_MODEL)
    raw_bytes = [record.raw_bytes for record in records if record.codec == DEFAULT_MODEL]
    return (
        f"On {len(raw_bytes)} files, {sum(raw_bytes) / 1e6:.1f} MB together, lmcompress takes "
        f"**{ours:.3f} bits per byte**: {rivals}. The decoder must also have the model, whose "
        f"{extra / 1e6:.1f} MB are not counted here. Counted once for all files, they make it "
        f"{rate_of_all(records, DEFAULT_MODEL, extra):.3f}; {_breaks_even(records)}."
    )


def _breaks_even(records: Sequence[Record]) -> str:
    raw_bytes = break_even_bytes(records, DEFAULT_MODEL, _XZ)
    if raw_bytes == float("inf"):
        return f"compared with {_XZ}, they never pay for themselves"
    return f"compared with {_XZ}, they pay for themselves from {raw_bytes / 1e6:.0f} MB on"


def _against(ours: float, theirs: float) -> str:
    share = 100 * (ours / theirs - 1)
    return f"{abs(share):.0f} % {'less' if share < 0 else 'more'} than"


def _speed(experiment: Experiment) -> str:
    speeds = speeds_of_rows(experiment.rows)
    of_codec = {row.codec: row for row in speeds.rows}
    ours = of_codec[DEFAULT_MODEL]
    return (
        f"On {speeds.raw_bytes / 1e6:.0f} MB of text and {speeds.threads} threads, lmcompress "
        f"compresses **{ours.compress:.0f} kB** and decompresses **{ours.decompress:.0f} kB** a "
        f"second. Without its network (`-m none`) that is {_both(of_codec[STAGE])}; {_XZ}, on one "
        f"thread, does {_both(of_codec[_XZ])}."
    )


def _both(speed: Speed) -> str:
    return f"{speed.compress:,.0f} and {speed.decompress:,.0f} kB"


def _round_trips(experiment: Experiment) -> str:
    sizes = sorted(row["raw_bytes"] for row in experiment.rows)
    equal = sum(row["round_trip_ok"] is True for row in experiment.rows)
    return (
        f"{equal} of {len(sizes)} files, from {sizes[0]:,} to {sizes[-1]:,} bytes, came back bit "
        "for bit through the command line."
    )


def _languages(experiment: Experiment) -> str:
    records = records_of(experiment)
    of_codec = {
        codec: {r.corpus: r.compressed_bytes or 0 for r in records if r.codec == codec}
        for codec in (DEFAULT_MODEL, _ZPAQ, _PPMD)
    }
    ours = of_codec[DEFAULT_MODEL]
    wins = {
        codec: sum(size < of_codec[codec][corpus] for corpus, size in ours.items())
        for codec in (_ZPAQ, _PPMD)
    }
    return (
        f"Of {len(ours)} texts in other languages and logs, lmcompress makes {wins[_ZPAQ]} "
        f"smaller than {_ZPAQ} does, and {wins[_PPMD]} smaller than {_PPMD}."
    )


def _small_files(experiment: Experiment) -> str:
    kind = experiment.rows[0]["kind"]
    rows = {row["coder"]: row for row in experiment.rows if row["kind"] == kind}
    size = {coder: f"{row['compressed bytes a file']:,.0f}" for coder, row in rows.items()}
    return (
        f"{kind} of {rows[_ZSTD]['raw bytes a file']:,} bytes take {size[_ZSTD]} bytes each with "
        f"{_ZSTD} and {size[f'{DEFAULT_MODEL}, compact']} with lmcompress. If both sides have read "
        f"others of their kind first, {size[f'{_ZSTD}, dictionary']} with zstd's dictionary and "
        f"{size[f'{DEFAULT_MODEL}, prompt, compact']} with a prompt."
    )


def _larger_model(experiment: Experiment) -> str:
    rates = {
        row["codec"]: row["bits per byte"]
        for row in rows_of_table(experiment.table, "codec", "model bytes", "bits per byte")
    }
    speeds = {row["codec"]: row for row in rows_of_table(experiment.table, "codec", _KILOBYTES)}
    large = [record for record in records_of(experiment) if record.codec == _PUBLISHED]
    return (
        f"SmolLM2, a published model of {large[0].num_parameters / 1e6:.0f} million parameters, "
        f"takes {rates[_PUBLISHED]} bits per byte of {speeds[_PUBLISHED]['files'].split()[0]} "
        f"short texts, where {DEFAULT_MODEL} takes {rates[DEFAULT_MODEL]}. It compresses "
        f"{speeds[_PUBLISHED][_KILOBYTES]} kB a second."
    )


def rows_of_table(markdown: str, *columns: str) -> list[dict[str, str]]:
    """Returns the rows, by column, of the first table that has some columns.

    Raises:
      LookupError: If no table has.
    """
    tables: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            tables[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif tables[-1]:
            tables.append([])
    having = [table for table in tables if table and set(columns) <= set(table[0])]
    if not having:
        raise LookupError(f"no table has the columns {', '.join(columns)}")
    header, _, *rows = having[0]
    return [dict(zip(header, row, strict=False)) for row in rows]


def _two_parts(experiment: Experiment) -> str:
    whole, network, stage = "nothing (bits per byte)", "the GPT", "all but the GPT"
    bits = [row["bits"] for row in experiment.rows]
    without = {
        part: _span([100 * (one[part] / one[whole] - 1) for one in bits])
        for part in (network, stage)
    }
    return (
        f"Of {len(bits)} texts, code lengths grow by {without[network]} without the network, and "
        f"by {without[stage]} without the adaptive stage, which learns from the file itself."
    )


def _span(values: Sequence[float]) -> str:
    """Returns the smallest and the largest of some percentages."""
    if not values:
        raise LookupError("no values to summarize")
    return f"{min(values):,.0f} to {max(values):,.0f} %"


def _exactness(experiment: Experiment) -> str:
    costs = [row["cost_percent"] for row in experiment.rows]
    low, high = min(costs), max(costs)
    return (
        "Arithmetic that gives the same bits on every machine changes the size by "
        f"{low:+.2f} to {high:+.2f} % against float32 (the network alone)."
    )


def _paper(experiment: Experiment) -> str:
    cases = [row[_SAME] for row in rows_of_table(experiment.table, "question", _SAME)]
    whole, none = cases.count("yes"), cases.count("no")
    return (
        f"Of {len(cases)} findings of *Language Modeling Is Compression* (Delétang et al., 2024), "
        f"tested on small samples, {whole} have the same direction here in every case, "
        f"{len(cases) - whole - none} in some, {none} in none."
    )


def _false_figures(experiment: Experiment) -> str:
    decoded = [row for row in experiment.rows if row["file"]]
    larger = [row["file"] / row["claimed"] for row in decoded if row["file"] > row["claimed"]]
    return (
        f"Of {len(experiment.rows)} kinds of bits per byte that were too good to be true, rebuilt "
        f"small, {len(decoded)} give a file that can be decoded. {len(larger)} of these files are "
        f"larger than claimed, up to {_largest(larger):.1f} times."
    )


def _largest(values: Iterable[float]) -> float:
    return sorted(values)[-1]


_SENTENCES: Mapping[str, tuple[str, Callable[[Experiment], str]]] = {
    "default_against_classical": ("Size", _size),
    "speed": ("Speed", _speed),
    "round_trips": ("Lossless", _round_trips),
    "languages_and_logs": ("Other languages", _languages),
    "prompt_records": ("Small files", _small_files),
    "pretrained": ("A larger model", _larger_model),
    "adaptive_ablation": ("Two parts", _two_parts),
    "exactness_cost": ("Exact arithmetic", _exactness),
    "findings": ("The paper", _paper),
    "claims": ("False figures", _false_figures),
}
"""Experiment -> lead and sentence, in the order of the summary."""
