"""The command `train-tokenizer`: trains the tokenizer of a token-level model."""

from __future__ import annotations

from pathlib import Path

import click

from lmcompress.errors import TrainingError


@click.command(
    "train-tokenizer",
    short_help="Train the tokenizer of a token-level model.",
    epilog="Example: lmcompress train-tokenizer --config mine.toml && lmcompress train --config "
    "mine.toml --out runs/mine",
)
@click.option(
    "--config", metavar="FILE.toml", required=True,
    help="Training configuration; its `tokenizer` names the file to write.",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing tokenizer.")
def train_tokenizer(config: str, force: bool) -> int:
    """Train a byte-level BPE on the training text of a configuration.

    Sources are sampled by weight; held-out text is never read.
    """
    from lmcompress.system.atomic import naming, replace_atomically
    from lmcompress.training.config import TrainConfig
    from lmcompress.training.tokenizer import train_tokenizer as trained

    run = TrainConfig.from_toml(Path(config))
    if not run.tokenizer:
        raise TrainingError(f'{config} names no file to write: add tokenizer = "FILE.json"')
    path = Path(run.tokenizer)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path, overwrite=force) as file:
        file.write(trained(run).encode())
    click.echo(f"{path}: {run.model.vocab_size:,} tokens", err=True)
    return 0
