"""Do quick results equal the committed ones? Rates are deterministic, so they must.

    python -m experiments.support.quick_rates [NAME...] [--write]

Compares results/quick with results/quick.jsonl, row by row: sizes and bytes exactly,
code lengths up to the last places of a logarithm. Rows of another version of a codec or a model are
passed over, as are timings, and what was trained on the spot in floating point. `lmcompress
reproduce --quick` does this at its end; --write makes the committed file from what is there.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from experiments.support.records import RESULTS, Row, replace_rows
from lmcompress.benchmark.records import read_rows

EXPECTED = RESULTS / "quick.jsonl"
TOLERANCE = 2e-4
"""Of code lengths in bits per byte, whose fourth decimal may be rounded either way."""
_CODEC = ("corpus_sha256", "codec", "codec_version", "fingerprint", "lanes")
_TEXT = ("corpus_sha256", "fingerprint")
_BYTES = ("compressed_bytes",)
_PARTS = ("GPT alone", "stage alone", "mixed")
EXACT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default_against_classical": (_CODEC, _BYTES),
    "languages_and_logs": (_CODEC, _BYTES),
    "model_sizes": (_CODEC, _BYTES),
    "table_1": (_CODEC, (*_BYTES, "quantized_code_length_bits")),
    "round_trips": (_TEXT, _BYTES),
    "prompt_records": ((*_TEXT, "kind", "coder"), ("compressed bytes a file",)),
    "in_context": ((*_TEXT, "kind", "coder", "prompt bytes"), ("bits per byte",)),
    "random_access": ((*_TEXT, "key"), ("bits per byte",)),
    "certificates": ((*_TEXT, "key"), ("compressed bytes",)),
    "growth": ((*_TEXT, "raw bytes"), ("compressed bytes",)),
    "pretrained_sizes": ((*_TEXT, "name"), ("compressed bytes",)),
    "lane_speed": ((*_TEXT, "lanes"), ("bits per byte",)),
    "levels": ((*_TEXT, "level"), ("compressed bytes",)),
    "adaptive_ablation": ((*_TEXT, "lanes"), ("bits",)),
    "adaptive_lanes": ((*_TEXT, "lanes"), ("GPT alone", "own states", "shared state")),
    "mix_shift": (_TEXT, _PARTS),
    "non_text": (_TEXT, _PARTS),
    "figure_3": (("source", "version", "piece_sha256", "drawn_bytes"), ("made",)),
    "figure_4": (("codec", "codec_version", "fingerprint", "corpus_sha256"), ("mean_rates",)),
    "ladder_table": (
        ("model", "fingerprint", "test_bytes"),
        ("text_exact_bits_per_byte", "extract_exact_bits_per_byte"),
    ),
}
"""What tells a row of an experiment from its others, and what must be equal then. The others have
no rates, need a download, depend on Python's version, or train in floating point, which is not the
same everywhere."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of comparing."""

    num_equal: int
    num_unknown: int
    """Rows without a committed one: of other versions."""
    different: list[str]


def rows_of(name: str, root: Path) -> Iterator[Row]:
    """Yields an experiment's rows, cut down to what is compared.

    Rows of a classical codec whose version is not in them are left out.
    """
    identity, values = EXACT[name]
    for row in read_rows(root / name / "records.jsonl"):
        if "codec_version" not in identity and row.get("fingerprint") == "":
            continue
        yield {"experiment": name} | {key: row.get(key) for key in (*identity, *values)}


def is_equal(found: Any, expected: Any) -> bool:
    """Whether two values are equal: floats nearly, all else exactly."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            is_equal(found[key], expected[key]) for key in found
        )
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_equal, found, expected))
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=TOLERANCE)
    return bool(found == expected)


def compare(names: Sequence[str], root: Path, expected: Path = EXPECTED) -> Comparison:
    """Compares the rows of experiments under a folder with the committed ones."""
    known = {_key(row): row for row in read_rows(expected)}
    equal, unknown, different = 0, 0, []
    for row in (row for name in names if name in EXACT for row in rows_of(name, root)):
        key, values = _key(row), EXACT[row["experiment"]][1]
        if key not in known:
            unknown += 1
        elif all(is_equal(row[value], known[key][value]) for value in values):
            equal += 1
        else:
            different.append(key)
    return Comparison(equal, unknown, different)


def _key(row: Row) -> str:
    identity, _ = EXACT[row["experiment"]]
    return json.dumps({key: row[key] for key in ("experiment", *identity)})


def report(names: Sequence[str]) -> None:
    """Reports the result of comparing.

    Raises:
      click.ClickException: If a row differs, or there is none at all.
    """
    found = compare(names, RESULTS / "quick")
    where = EXPECTED.relative_to(RESULTS.parent)
    if found.different:
        raise click.ClickException(
            f"{len(found.different)} rows differ from {where}, the first: {found.different[0]}"
        )
    _check_any(found.num_equal + found.num_unknown, names)
    click.echo(
        f"{found.num_equal} rows equal those in {where}; {found.num_unknown} are not in it (of "
        "other versions of a codec or a model)",
        err=True,
    )
    if passed_over := [name for name in names if name not in EXACT]:
        click.echo(f"not compared: {', '.join(passed_over)}", err=True)


def _check_any(num_rows: int, names: Sequence[str]) -> None:
    if not num_rows and set(names) & set(EXACT):
        raise click.ClickException(
            "no row in results/quick to compare: run `lmcompress reproduce --quick` first"
        )


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--write", is_flag=True, help="Make the committed rows of these experiments from what is there."
)
def main(names: tuple[str, ...], write: bool) -> None:
    """Compares quick results, of the experiments named or of all, with the committed ones."""
    chosen = names or tuple(EXACT)
    if write:
        rows = [row for name in chosen for row in rows_of(name, RESULTS / "quick")]
        _check_any(len(rows), chosen)
        others = [row for row in read_rows(EXPECTED) if row["experiment"] not in chosen]
        latest = {_key(row): row for row in (*others, *rows)}
        replace_rows(sorted(latest.values(), key=_key), EXPECTED)
    report(chosen)


if __name__ == "__main__":
    main()
