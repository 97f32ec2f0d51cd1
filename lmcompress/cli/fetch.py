"""The command that makes published models models at hand: fetch."""

from __future__ import annotations

from pathlib import Path

import click

from lmcompress.cli.options import force_option, quiet_option
from lmcompress.cli.progress import say
from lmcompress.models.catalog import PUBLISHED


@click.command(
    short_help="Make a published model one at hand.",
    epilog="Example: lmcompress fetch smollm2-135m && lmcompress compress -m smollm2-135m book.txt",
)
@click.argument("source")
@click.option("--name", metavar="NAME", help="What -m is to call it; default: as SOURCE is called.")
@click.option(
    "--out", metavar="DIR", help="Where its folder goes; default: among the models at hand."
)
@force_option
@quiet_option
def fetch(source: str, name: str | None, out: str | None, force: bool, quiet: bool) -> int:
    """Quantize a published model once for exact evaluation, and keep it.

    SOURCE is a name (see below), hf:OWNER/NAME on the Hugging Face hub, a folder that the
    transformers library wrote, or a GGUF file. Architectures: Llama, SmolLM2, Qwen2, Qwen3, GPT-2
    and GPT-NeoX (Pythia), with a byte-level BPE tokenizer.
    """
    from lmcompress.models.fetching import fetch_model

    model = fetch_model(source, name, Path(out) if out else None, overwrite=force)
    say(
        f"{model.name}: {model.num_parameters:,} parameters, {model.model_bytes:,} bytes in "
        f"{click.format_filename(model.folder)}, fingerprint {model.fingerprint.hex()}",
        quiet=quiet,
    )
    return 0


assert fetch.help is not None
fetch.help += "\n\nNames: " + ", ".join(
    f"{name} ({known.num_bytes / 1e6:.0f} MB, {known.licence})" for name, known in PUBLISHED.items()
)
