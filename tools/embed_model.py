"""Puts a trained checkpoint into the package, as int8 weights with a card.

    python -m tools.embed_model --checkpoint runs/lmc-3m
    python -m tools.embed_model --checkpoint runs/ladder-200k

The model keeps its run's name, under which `-m` finds it; its recipe is the file of that name in
experiments/configs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from lmcompress.errors import LmcompressError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.models.checkpoint import load_exact_checkpoint, save_exact_checkpoint
from lmcompress.models.manifest import read_manifest
from lmcompress.models.store import EMBEDDED
from lmcompress.report.tables import ABSENT, markdown_table
from lmcompress.tokenizer.bpe import TOKENIZER_FILE
from lmcompress.training.config import TrainConfig

CONFIGS = Path(__file__).parents[1] / "experiments" / "configs"


def card_text(weights: ExactWeights, card: dict[str, Any], sequence_length: int) -> str:
    """Returns the model's card as markdown.

    Args:
      weights: Of the model.
      card: What the run wrote, validation figures included.
      sequence_length: Symbols of the sequences that the run validated on.
    """
    config, validation = weights.config, card["validation_bits_per_byte"]
    kind, symbols = "A byte-level GPT", "bytes"
    if weights.tokens is not None:
        kind, symbols = f"A GPT over a BPE of {config.vocab_size:,} tokens,", "tokens"
    crlf = f", of these {card['crlf_fraction']:.0%} of the sequences with CRLF line ends"
    lines = [
        f"# {card['name']}",
        "",
        f"{kind} of {config.num_parameters:,} parameters ({config.n_layer} layers of "
        f"{config.n_embd} channels, {_attention(config, symbols)}), stored as int8: "
        f"{weights.model_bytes:,} bytes. Recipe: experiments/configs/{card['name']}.toml.",
        "",
        f"- Fingerprint: `{weights.fingerprint.hex()}`",
        f"- Bytes seen in training: {card['bytes_seen']:,}{crlf if card['crlf_fraction'] else ''}",
        *_beginning(card),
        f"- Held out of each source, never trained on: its last "
        f"{card['held_out_bytes_per_source']:,} bytes",
        f"- Validation, float network, sequences of {sequence_length:,} {symbols}: "
        f"**{validation['mean']:.4f} bits per byte** over all held-out text",
        "",
        markdown_table(
            ["trained on", "validation, bits per byte"],
            ([name, _shown(validation.get(name))] for name in card["trained_on"]),
        ),
        "",
        "Nothing else was trained on: all test corpora (Canterbury, Calgary, Silesia, enwik8, "
        "WikiText, logs, other languages) were kept out. Wikipedia articles of 2021 may be later "
        "versions of some in enwik8 and WikiText.",
    ]
    return "\n".join(lines) + "\n"


def _shown(bits_per_byte: float | None) -> str:
    """Returns a validation figure; a model that a run began with may have read more sources."""
    return ABSENT if bits_per_byte is None else f"{bits_per_byte:.4f}"


def _beginning(card: dict[str, Any]) -> list[str]:
    if "began_with" not in card:
        return []
    before = card["began_with"]
    return [
        f"- Began with {before['name']} (`{before['fingerprint']}`), which had seen "
        f"{before['bytes_seen']:,} of these bytes"
    ]


def _attention(config: GPTConfig, symbols: str) -> str:
    windows = config.attention_windows
    if not any(windows):
        return f"attention over all of a context of {config.context_length:,} {symbols}"
    shown = [f"{window:,}" if window else "all" for window in windows]
    return f"attention over the last {', '.join(shown)} {symbols}"


def embed(checkpoint: Path, target: Path, configs: Path = CONFIGS) -> Path:
    """Writes a checkpoint's exact weights and card into a folder of `target`; returns the folder.

    Raises:
      LmcompressError: If its run has not ended, or its training configuration is not there.
    """
    card = read_manifest(checkpoint)["card"]
    if "validation_bits_per_byte" not in card:
        raise LmcompressError(
            f"{checkpoint} has no validation figures: its run has not ended, let it go on first"
        )
    recipe = TrainConfig.from_toml(configs / f"{card['name']}.toml")
    weights = load_exact_checkpoint(checkpoint)
    folder: Path = target / card["name"]
    save_exact_checkpoint(weights, card, folder)
    if weights.tokens is not None:
        shutil.copyfile(checkpoint / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    text = card_text(weights, card, recipe.sequence_length)
    (folder / "CARD.md").write_text(text, "utf-8", newline="\n")
    return folder


@click.command()
@click.option("--checkpoint", required=True, type=Path, help="Folder of a run that has ended.")
def main(checkpoint: Path) -> None:
    """Quantizes a checkpoint into lmcompress/models/embedded, under its own name."""
    try:
        folder = embed(checkpoint, EMBEDDED)
    except LmcompressError as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"{folder.name}: {read_manifest(folder)['fingerprint']}", err=True)


if __name__ == "__main__":
    main()
