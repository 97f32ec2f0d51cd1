"""The command `fetch`: downloads and quantizes published models."""

from __future__ import annotations

import click

from lmcompress.cli.options import force_option, quiet_option
from lmcompress.cli.progress import say
from lmcompress.models.catalog import PUBLISHED

_NAMES = ", ".join(
    f"{name} ({known.num_bytes / 1e6:.0f} MB, {known.licence})" for name, known in PUBLISHED.items()
)


@click.command(
    short_help="Download and quantize a published model.",
    help=f"""Download a published model and quantize it for exact evaluation.

    SOURCE is a name (see below), hf:OWNER/NAME on the Hugging Face hub, a folder written by the
    transformers library, or a GGUF file. Supported architectures: Llama, SmolLM2, Qwen2, Qwen3,
    GPT-2 and GPT-NeoX (Pythia), with a byte-level BPE tokenizer.

    Names: {_NAMES}.
    """,
    epilog="Example: lmcompress fetch smollm2-135m && lmcompress compress -m smollm2-135m book.txt",
)
@click.argument("source")
@click.option("--name", metavar="NAME", help="Name for -m.  [default: taken from SOURCE]")
@click.option(
    "--out", "folder", metavar="DIR",
    help="Folder to put the model's own folder into.  [default: the user's cache]",
)  # fmt: skip
@force_option
@quiet_option
def fetch(source: str, name: str | None, folder: str | None, force: bool, quiet: bool) -> int:
    """Fetches a model and says where it is."""
    from lmcompress.api.models import fetch as fetch_model

    model = fetch_model(source, name, folder=folder, overwrite=force)
    say(
        f"{model.name}: {model.num_parameters:,} parameters, {model.model_bytes:,} bytes in "
        f"{click.format_filename(model.folder)}, fingerprint {model.fingerprint.hex()}",
        quiet=quiet,
    )
    return 0
