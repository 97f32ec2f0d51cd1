"""Puts a trained checkpoint into the package, as int8 weights with a card.

python -m experiments.embed_default --checkpoint runs/lmc-3m
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmcompress.gpt.card import read_card
from lmcompress.gpt.checkpoint import load_exact_checkpoint, save_exact_checkpoint
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.model_store import EMBEDDED


def card_text(weights: ExactWeights, card: dict[str, Any]) -> str:
    """Returns the model's card as markdown."""
    config, validation = weights.config, card["validation_bits_per_byte"]
    lines = [
        f"# {card['name']}",
        "",
        f"A byte-level GPT of {config.num_parameters:,} parameters ({config.n_layer} layers of "
        f"{config.n_embd} channels, attention over the last "
        f"{', '.join(map(str, config.attention_windows))} bytes), stored as int8: "
        f"{weights.model_bytes:,} bytes.",
        "",
        f"- Fingerprint: `{weights.fingerprint.hex()}`",
        f"- Bytes seen in training: {card['bytes_seen']:,}, of these "
        f"{card['crlf_fraction']:.0%} of the sequences with CRLF line ends",
        f"- Held out of each source, never trained on: its last "
        f"{card['held_out_bytes_per_source']:,} bytes",
        f"- Validation, float network, sequences of 1,024 bytes: **{validation['mean']:.4f} bits "
        "per byte** over all held-out text",
        "",
        "| trained on | validation, bits per byte |",
        "| --- | ---: |",
        *(f"| {name} | {validation[name]:.4f} |" for name in card["trained_on"]),
        "",
        "Nothing else was trained on: all test corpora (Canterbury, Calgary, Silesia, enwik8, "
        "WikiText, logs, other languages) were kept out. Wikipedia articles of 2021 may be later "
        "versions of some in enwik8 and WikiText.",
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--checkpoint", default="runs/lmc-3m", show_default=True, type=Path)
def main(checkpoint: Path) -> None:
    """Quantizes a checkpoint into lmcompress/models, under its own name."""
    card = read_card(checkpoint)["card"]
    if "validation_bits_per_byte" not in card:
        raise click.ClickException(f"{checkpoint} has no validation figures: its run has not ended")
    weights = load_exact_checkpoint(checkpoint)
    folder = EMBEDDED / card["name"]
    save_exact_checkpoint(weights, card, folder)
    (folder / "CARD.md").write_text(card_text(weights, card), "utf-8")
    click.echo(f"{folder.name}: {weights.fingerprint.hex()}", err=True)


if __name__ == "__main__":
    main()
