"""The command `score`: measures files under a model without compressing them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.cluster import score_with, share_segments_option
from lmcompress.cli.errors import FileErrors
from lmcompress.cli.options import (
    codec_config,
    device_options,
    files_argument,
    force_option,
    json_option,
    model_option,
    prompt_option,
    quiet_option,
    size_options,
)
from lmcompress.cli.progress import byte_progress
from lmcompress.cli.streams import open_input, open_output
from lmcompress.cli.tables import check_can_write, write_table
from lmcompress.format.wire import read_all
from lmcompress.models.catalog import HUB

if TYPE_CHECKING:
    from lmcompress.benchmark.float_scoring import FloatScore
    from lmcompress.codec.scoring import Score


@click.command(
    short_help="Measure FILE without compressing it.",
    epilog="Example: lmcompress score book.txt --json",
)
@files_argument
@model_option
@size_options
@prompt_option
@device_options
@click.option(
    "--float",
    "as_float",
    is_flag=True,
    help="Score in floating point, with any model that transformers loads: MODEL is hf:OWNER/NAME "
    "or a folder.",
)
@click.option(
    "--window", type=click.IntRange(2), metavar="N", help="With --float: tokens per window."
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    metavar="N",
    help="With --float: tokens per window that are scored; the others are context.",
)
@click.option(
    "--per-byte",
    metavar="OUT",
    help="Also write a table with a row for each byte: what it costs in the compressed file, what "
    "the model alone would take, which bytes were likeliest, and what spoke for it. OUT ends in "
    ".parquet, .csv or .npz. Takes one FILE, and several times as long.",
)
@share_segments_option
@force_option
@json_option
@quiet_option
def score(
    files: tuple[str, ...], model: str, as_json: bool, quiet: bool, as_float: bool,
    window: int | None, stride: int | None, per_byte: str | None, cluster: str | None, force: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Measure how well a model predicts each FILE, without compressing it.

    Prints two code lengths in bits per byte: the ideal one, from probabilities before they are
    rounded, and the quantized one, from the integer frequencies that the coder would use. The
    adaptive stage's probabilities are integers, so where it helps both are the same; the GPT's own
    are scored with --adaptive off. A compressed file is larger by its headers and checksums,
    unless it stores the bytes as they are.

    With --float, MODEL may be any causal model that the transformers library loads. Such a model
    cannot compress: floating-point results differ between machines, so a file might not decode.
    """
    if cluster is not None and (as_float or per_byte):
        raise click.UsageError("--cluster scores whole files: leave out --float and --per-byte")
    if as_float:
        if per_byte:
            raise click.UsageError("--per-byte shows what the coder does: leave out --float")
        ours = "lanes", "segment_bytes", "prompt", "memory_limit"
        if any(options[name] is not None for name in ours) or options["adaptive"] == "off":
            raise click.UsageError(
                "--float has no lanes, segments, memory limit, prompt or adaptive stage"
            )
        if not model.startswith(HUB) and not Path(model).is_dir():
            raise click.UsageError(
                f"--float needs -m hf:OWNER/NAME or a folder of transformers, found {model!r}"
            )
        return _score_in_float(files, model, window, stride, options["device"], as_json=as_json)
    if window or stride:
        raise click.UsageError("--window and --stride are for --float")
    if per_byte:
        if len(files) > 1:
            raise click.UsageError(f"--per-byte takes one FILE, found {len(files)}")
        args = files[0], model, per_byte, options
        return _score_bytes(*args, force=force, as_json=as_json, quiet=quiet)
    measure = score_with(cluster)
    return _score(files, model, options, measure, as_json=as_json, quiet=quiet)


def _score_bytes(
    file: str, model: str, output: str, options: dict[str, Any], *, force: bool, as_json: bool,
    quiet: bool,
) -> int:  # fmt: skip
    from lmcompress.codec import scoring
    from lmcompress.codec.costs import byte_costs
    from lmcompress.models.store import load_model

    check_can_write(output)
    config, loaded = codec_config(**options), load_model(model)

    def measure(name: str) -> tuple[dict[str, Any], str]:
        with open_input(name) as source:
            raw = read_all(source)
        # Refused before the work, if it cannot be written, and not there until it is complete.
        with open_output(output, source=name, force=force) as sink:
            with byte_progress(name, 2 * len(raw), quiet=quiet) as progress:
                costs = byte_costs(raw, loaded, config, progress)
                scored = scoring.score(raw, loaded, config, progress)
            write_table(costs.columns(), output, sink)
        row = _row(name, scored) | {
            "cost_bits": costs.cost_bits,
            "payload_bytes": costs.payload_bytes,
            "per_byte": output,
        }
        line = f"{_line(name, scored)}, each byte in {click.format_filename(output)}"
        return row, line

    return _report_each((file,), measure, as_json=as_json)


def _score(
    files: tuple[str, ...], model: str, options: dict[str, Any], score_bytes: Callable[..., Score],
    *, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    from lmcompress.models.store import load_model

    config, loaded = codec_config(**options), load_model(model)

    def measure(name: str) -> tuple[dict[str, Any], str]:
        with open_input(name) as source:
            raw = read_all(source)
        with byte_progress(name, len(raw), quiet=quiet) as progress:
            scored = score_bytes(raw, loaded, config, progress)
        return _row(name, scored), _line(name, scored)

    return _report_each(files, measure, as_json=as_json)


def _score_in_float(
    files: tuple[str, ...], model: str, window: int | None, stride: int | None, device: str, *,
    as_json: bool,
) -> int:  # fmt: skip
    from lmcompress.benchmark.float_scoring import FloatScorer
    from lmcompress.codec.session import resolve_device

    scorer = FloatScorer(model, window, stride, resolve_device(device))

    def measure(name: str) -> tuple[dict[str, Any], str]:
        with open_input(name) as source:
            scored = scorer.score(read_all(source))
        return _float_row(name, scored), _float_line(name, scored)

    return _report_each(files, measure, as_json=as_json)


def _report_each(
    files: tuple[str, ...], measure: Callable[[str], tuple[dict[str, Any], str]], *, as_json: bool
) -> int:
    """Measures each file and prints its line, or all rows as JSON at the end."""
    rows, errors = [], FileErrors()
    for name in files:
        with errors.reported(name):
            row, line = measure(name)
            rows.append(row)
            if not as_json:
                click.echo(line)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    return errors.exit_code


def _row(name: str, scored: Score) -> dict[str, Any]:
    return {
        "name": name,
        "raw_bytes": scored.raw_bytes,
        "ideal_code_length_bits": scored.ideal_code_length_bits,
        "ideal_bits_per_byte": _none_if_nan(scored.ideal_bits_per_byte),
        "quantized_code_length_bits": scored.quantized_code_length_bits,
        "quantized_bits_per_byte": _none_if_nan(scored.quantized_bits_per_byte),
    }


def _line(name: str, scored: Score) -> str:
    label = click.format_filename(name)
    if not scored.raw_bytes:
        return f"{label}: empty"
    return (
        f"{label}: {scored.raw_bytes} bytes, ideal {scored.ideal_bits_per_byte:.4f}, "
        f"quantized {scored.quantized_bits_per_byte:.4f} bits per byte"
    )


def _float_row(name: str, scored: FloatScore) -> dict[str, Any]:
    return {
        "name": name,
        "scored_only": True,
        **dataclasses.asdict(scored),
        "float_bits_per_byte": _none_if_nan(scored.float_bits_per_byte),
        "float_bits_per_character": _none_if_nan(scored.float_bits_per_character),
    }


def _float_line(name: str, scored: FloatScore) -> str:
    return (
        f"{click.format_filename(name)}: {scored.raw_bytes} bytes, {scored.num_tokens} tokens, "
        f"scored only, in floating point: {scored.float_bits_per_byte:.4f} bits per byte, "
        f"{scored.float_bits_per_character:.4f} bits per character"
    )


def _none_if_nan(rate: float) -> float | None:
    return None if math.isnan(rate) else rate
