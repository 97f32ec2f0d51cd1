"""The commands about models: score, models, train."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import Any

import click

from lmcompress.cli.errors import for_each
from lmcompress.cli.options import (
    codec_config,
    device_options,
    files_argument,
    json_option,
    layout_options,
    model_option,
    prompt_option,
    quiet_option,
)
from lmcompress.cli.progress import byte_progress
from lmcompress.cli.streams import open_input
from lmcompress.format.wire import read_all
from lmcompress.gpt.presets import BPE_BYTES_PER_TOKEN, describe_preset


@click.command(
    short_help="Measure FILE without coding it.", epilog="Example: lmcompress score book.txt --json"
)
@files_argument
@model_option
@layout_options
@prompt_option
@device_options
@click.option(
    "--float",
    "as_float",
    is_flag=True,
    help="Score only, in floating point: MODEL is hf:OWNER/NAME or a folder of transformers.",
)
@click.option("--window", type=click.IntRange(2), metavar="N", help="With --float: tokens read.")
@click.option(
    "--stride", type=click.IntRange(1), metavar="N", help="With --float: tokens that then count."
)
@json_option
@quiet_option
def score(
    files: tuple[str, ...], model: str, as_json: bool, quiet: bool, as_float: bool,
    window: int | None, stride: int | None, **options: Any,
) -> int:  # fmt: skip
    """Measure each FILE under a model without coding it.

    The ideal code length is of the model's probabilities, the quantized one of the frequencies
    that the coder would be given. No file is made, so neither is a compressed size.

    With --float, MODEL is any causal model that the transformers library loads. Such a score is
    no promise of a file: floating point does not decode.
    """
    if as_float:
        given = {name for name in ("lanes", "segment_bytes", "prompt") if options[name] is not None}
        if given or options["adaptive"] == "off":
            raise click.UsageError("--float has no lanes, segments, prompt or adaptive stage")
        return _score_in_float(files, model, window, stride, options["device"], as_json=as_json)
    if window or stride:
        raise click.UsageError("--window and --stride are for --float")
    from lmcompress.models.store import load_model

    config = codec_config(**options)
    loaded = load_model(model)
    rows = []

    def action(name: str) -> None:
        from lmcompress.codec import scoring

        with open_input(name) as source:
            raw = read_all(source)
        with byte_progress(name, len(raw), quiet=quiet) as progress:
            row = _score_row(name, scoring.score(raw, loaded, config, progress))
        rows.append(row)
        if not as_json:
            click.echo(_score_line(row))

    code = for_each(files, action)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    return code


def _score_in_float(
    files: tuple[str, ...], model: str, window: int | None, stride: int | None, device: str, *,
    as_json: bool,
) -> int:  # fmt: skip
    from lmcompress.benchmark.float_scoring import FloatScorer
    from lmcompress.codec.session import resolve_device

    scorer = FloatScorer(model, window, stride, resolve_device(device))
    rows = []

    def action(name: str) -> None:
        with open_input(name) as source:
            found = scorer.score(read_all(source))
        rates = {
            rate: getattr(found, rate) if found.raw_bytes else None
            for rate in ("float_bits_per_byte", "float_bits_per_character")
        }
        rows.append({"name": name, "scored_only": True, **dataclasses.asdict(found), **rates})
        if not as_json:
            click.echo(
                f"{click.format_filename(name)}: {found.raw_bytes} bytes, {found.num_tokens} "
                f"tokens, scored only, in floating point: {found.float_bits_per_byte:.4f} bits per "
                f"byte, {found.float_bits_per_character:.4f} bits per character"
            )

    code = for_each(files, action)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    return code


def _score_row(name: str, scored: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "raw_bytes": scored.raw_bytes}
    for kind in ("ideal", "quantized"):
        row[f"{kind}_code_length_bits"] = getattr(scored, f"{kind}_code_length_bits")
        rate = getattr(scored, f"{kind}_bits_per_byte")
        row[f"{kind}_bits_per_byte"] = None if math.isnan(rate) else rate
    return row


def _score_line(row: dict[str, Any]) -> str:
    name = click.format_filename(row["name"])
    if not row["raw_bytes"]:
        return f"{name}: empty"
    return (
        f"{name}: {row['raw_bytes']} bytes, ideal {row['ideal_bits_per_byte']:.4f}, "
        f"quantized {row['quantized_bits_per_byte']:.4f} bits per byte"
    )


@click.command(
    short_help="List the models at hand, or what a published GPT costs.",
    epilog="Example: lmcompress models --preset gpt3-175b",
)
@click.option(
    "--preset", metavar="NAME", help="Show a published GPT's parameters by part, and its FLOPs."
)
@click.option(
    "--bytes-per-token",
    type=float,
    default=BPE_BYTES_PER_TOKEN,
    show_default=True,
    metavar="X",
    help="With --preset: bytes of text that a BPE token stands for.",
)
@json_option
def models(preset: str | None, bytes_per_token: float, as_json: bool) -> int:
    """List the models at hand: those in the package, in $LMCOMPRESS_MODELS, and fetched ones.

    With --preset, describe a GPT of the literature instead: gpt1, gpt2-xl, gpt3-175b and others.
    No weights come with it.
    """
    if preset is not None:
        row = describe_preset(preset, bytes_per_token)
        click.echo(json.dumps(row, indent=2) if as_json else _preset_text(row))
        return 0
    from lmcompress.models.store import describe_models

    rows = describe_models()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return 0
    header = ("name", "parameters", "bytes", "context", "fingerprint", "trained on")
    cells = [
        (
            row["name"] + (" (default)" if row["default"] else ""),
            f"{row['num_parameters']:,}",
            f"{row['model_bytes']:,}",
            f"{row['context_length']:,}",
            row["fingerprint"],
            ", ".join(row["trained_on"]) or "nothing named",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in (header, *cells):
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())
    return 0


def _preset_text(row: dict[str, Any]) -> str:
    parts = row["num_parameters_by_part"]
    lines = [("parameters", row["num_parameters"], "")]
    lines += [(f"  {part.replace('_', ' ')}", count, "") for part, count in parts.items() if count]
    if row["published_num_parameters"]:
        lines.append(("  published", int(row["published_num_parameters"]), "as the paper prints"))
    lines.append(("FLOPs per token", row["flops_per_token"], "forward pass at full context"))
    basis = f"assuming {row['bytes_per_token']:g} bytes a token"
    if row["config"]["vocab_size"] == 256:
        basis = "tokens are bytes"
    lines.append(("FLOPs per byte", round(row["flops_per_byte"]), basis))
    counts = [f"{count:,}" for _, count, _ in lines]
    labels = [label for label, _, _ in lines]
    label_width, width = max(map(len, labels)), max(map(len, counts))
    rows = [
        f"{label:{label_width}}  {count:>{width}}  {note}".rstrip()
        for (label, _, note), count in zip(lines, counts, strict=True)
    ]
    return "\n".join([row["name"], *rows])


@click.command(
    short_help="Train a model.",
    epilog="Example: lmcompress train --config experiments/configs/lmc-3m.toml --out runs/mine",
)
@click.option("--config", metavar="FILE.toml", required=True, help="Model, sources, schedule.")
@click.option("--out", metavar="DIR", required=True, help="Folder of the checkpoint and its log.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
def train(config: str, out: str, device: str) -> int:
    """Train a model, or go on where an interrupted run stopped.

    The folder can be given to `compress -m` at any time.
    """
    logging.getLogger("lmcompress").setLevel(logging.INFO)
    from lmcompress.training.config import TrainConfig
    from lmcompress.training.trainer import train as run_training

    run_training(TrainConfig.from_toml(Path(config)), Path(out), device)
    return 0
