"""The command `prove`: bits per byte of any predictor, shown by a file that was decoded."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from lmcompress.cli.completion import complete_files
from lmcompress.cli.errors import shown
from lmcompress.cli.options import force_option
from lmcompress.cli.streams import STANDARD, open_output

if TYPE_CHECKING:
    from lmcompress.prove.processes import Settings


@click.command(
    short_help="Check a predictor's bits per byte with a file that decodes.",
    epilog="Example: lmcompress prove examples/prove/ngram.py book.txt -o proof.json",
)
@click.argument("predictor", required=False, metavar="[PREDICTOR]", shell_complete=complete_files)
@click.argument("file", required=False, metavar="[FILE]", shell_complete=complete_files)
@click.option(
    "-o", "--output", metavar="OUT", shell_complete=complete_files,
    help="Write the certificate, as JSON; - is stdout.",
)  # fmt: skip
@click.option(
    "--check", "certificate", metavar="PROOF", shell_complete=complete_files,
    help="Decode the file in a certificate again. That takes no FILE.",
)  # fmt: skip
@click.option(
    "--adaptive", type=click.Choice(("on", "off")), default="on", show_default=True,
    help="For a model of ours: on proves the file that compress writes, off the GPT alone.",
)  # fmt: skip
@click.option(
    "--normalise", is_flag=True,
    help="Divide the probabilities by their sum, to see what is left of the figure.",
)  # fmt: skip
@click.option(
    "--claim", type=click.FloatRange(0, min_open=True), metavar="BPB",
    help="A claimed figure, in bits per byte: says whether miscounted bytes explain it.",
)  # fmt: skip
@click.option(
    "--trained-on", multiple=True, metavar="DATA", shell_complete=complete_files,
    help="A file or folder that the model was trained on: says how much of FILE occurs in it. May "
    "be given several times.",
)  # fmt: skip
@click.option(
    "--budget", type=click.IntRange(1), metavar="N",
    help="Bytes that code, tokenizer and weights may take, such as 16000000: says if they fit.",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.FloatRange(0, min_open=True), default=3600, show_default=True,
    metavar="S", help="Seconds that each process may take.",
)  # fmt: skip
@click.option(
    "-T", "--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="CPU threads. With more than one, floats may differ between two runs.",
)  # fmt: skip
@force_option
def prove(
    predictor: str | None, file: str | None, output: str | None, certificate: str | None,
    adaptive: str, normalise: bool, claim: float | None, trained_on: tuple[str, ...],
    budget: int | None, time_limit: float, threads: int, force: bool,
) -> int:  # fmt: skip
    """Encode FILE with PREDICTOR, decode it in a fresh process, and certify what it took.

    PREDICTOR is a Python file with a class Predictor (or Codec, for a compressor with its own
    coder), package.module, a model's name or folder, none (the adaptive stage alone), or
    hf:OWNER/NAME, in floating point. The process that decodes gets the compressed file and the
    files that the encoder opened in the predictor's folder, nothing else; on Linux, the kernel
    sees to that. docs/prove.md says what a Predictor needs, and what no such proof can show.

    Runs PREDICTOR's code.
    """
    from lmcompress.prove.certificate import to_json
    from lmcompress.prove.processes import Settings
    from lmcompress.prove.proving import Questions
    from lmcompress.prove.proving import prove as prove_figure

    settings = Settings(normalise=normalise, time_limit=time_limit, threads=threads)
    if certificate is not None:
        if output or claim is not None or trained_on or budget is not None or normalise:
            raise click.UsageError("--check takes PREDICTOR, FILE and --time-limit only")
        return _check(certificate, predictor, file, settings)
    if predictor is None or file is None:
        raise click.UsageError("give PREDICTOR and FILE, or --check PROOF")
    questions = Questions(claim, tuple(map(Path, trained_on)), budget)
    with _opened(output, force=force) as sink:
        is_adaptive = adaptive == "on"
        proof = prove_figure(predictor, Path(file), settings, questions, adaptive=is_adaptive)
        if sink is not None:
            sink.write(to_json(proof))
    for line in (f"proven: {proof.line}", *proof.answers):
        click.echo(shown(line), err=output == STANDARD)
    return 0


def _check(path: str, predictor: str | None, file: str | None, settings: Settings) -> int:
    from lmcompress.prove.checking import check

    checked = check(Path(path), settings, predictor, None if file is None else Path(file))
    if checked.proven_again is None:
        click.echo(shown(f"decoded again: {checked.certificate.line}"))
        click.echo(f"isolation here: {checked.isolation}")
        return 0
    before, after = checked.certificate, checked.proven_again
    click.echo(
        "proven again, since floats differ here: "
        f"{after.compressed_bytes:,} bytes, {before.compressed_bytes:,} in the certificate; "
        f"{after.bits_per_byte:.4f} bits per byte, {before.bits_per_byte:.4f} in the certificate"
    )
    click.echo(f"isolation here: {checked.isolation}")
    return 0


def _opened(output: str | None, *, force: bool) -> AbstractContextManager[BinaryIO | None]:
    """Returns where the certificate goes; opened first, so that a taken name shows early."""
    if output is None:
        return nullcontext()
    return open_output(output, source=STANDARD, force=force)
