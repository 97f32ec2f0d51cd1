"""The command `models`: lists installed models, or describes a published GPT."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.options import json_option
from lmcompress.gpt.presets import BPE_BYTES_PER_TOKEN, describe_preset

if TYPE_CHECKING:
    from lmcompress.api.models import ModelInfo

_KNOWN_WHEN_LOADED = "known when loaded"


@click.command(
    short_help="List installed models, or describe a published GPT.",
    epilog="Example: lmcompress models --preset gpt3-175b",
)
@click.option("--preset", metavar="NAME", help="Show the parameters and FLOPs of a published GPT.")
@click.option(
    "--bytes-per-token",
    type=float,
    default=BPE_BYTES_PER_TOKEN,
    show_default=True,
    metavar="X",
    help="With --preset: mean bytes of text per BPE token.",
)
@json_option
def models(preset: str | None, bytes_per_token: float, as_json: bool) -> int:
    """List the installed models: built-in ones, those in $LMCOMPRESS_MODELS, and fetched ones.

    With --preset, show the size and cost of a GPT as published: gpt1, gpt2-xl, gpt3-175b and
    others. Their weights are not included.
    """
    if preset is not None:
        row = describe_preset(preset, bytes_per_token)
        click.echo(json.dumps(row, indent=2) if as_json else _preset_text(row))
        return 0
    from lmcompress.api.models import list_models

    listed = list_models()
    click.echo(json.dumps(list(map(_row, listed)), indent=2) if as_json else _text(listed))
    return 0


def _row(model: ModelInfo) -> dict[str, Any]:
    return {**dataclasses.asdict(model), "folder": str(model.folder)}


def _text(listed: list[ModelInfo]) -> str:
    header = ("name", "parameters", "model bytes", "context", "fingerprint", "trained on")
    cells = [
        (
            model.name + (" (default)" if model.is_default else ""),
            f"{model.num_parameters:,}",
            _KNOWN_WHEN_LOADED if model.model_bytes is None else f"{model.model_bytes:,}",
            f"{model.context_length:,}",
            model.fingerprint or _KNOWN_WHEN_LOADED,
            ", ".join(model.card.get("trained_on", [])) or "-",
        )
        for model in listed
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in (header, *cells))


def _preset_text(row: dict[str, Any]) -> str:
    parts = row["num_parameters_by_part"]
    lines = [("parameters", row["num_parameters"], "")]
    lines += [(f"  {part.replace('_', ' ')}", count, "") for part, count in parts.items() if count]
    if row["published_num_parameters"]:
        lines.append(
            ("  published", int(row["published_num_parameters"]), "as printed in the paper")
        )
    lines.append(("FLOPs per token", row["flops_per_token"], "forward pass at full context"))
    basis = f"assuming {row['bytes_per_token']:g} bytes per token"
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
