"""The command `explain`: a page that colors a text by what each byte costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lmcompress.cli.completion import complete_files, complete_models
from lmcompress.cli.options import (
    codec_config,
    device_options,
    force_option,
    prompt_option,
    quiet_option,
    size_options,
)
from lmcompress.cli.progress import byte_progress, say
from lmcompress.cli.streams import STANDARD, open_input, open_output
from lmcompress.format.wire import read_all, write_all
from lmcompress.models.store import DEFAULT_MODEL


@click.command(
    short_help="Show where the bits of FILE go, as an HTML page.",
    epilog="Example: lmcompress explain book.txt && lmcompress explain book.txt -m lmc-3m -m none "
    "-o both.html",
)
@click.argument("file", metavar="FILE", shell_complete=complete_files)
@click.option(
    "-o", "--output", metavar="PAGE", help="Output file; - is stdout.  [default: FILE.html]"
)
@click.option(
    "-m",
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    shell_complete=complete_models,
    help="A name from `lmcompress models`, or a model's folder; give two to compare them.  "
    f"[default: {DEFAULT_MODEL}]",
)
@size_options
@prompt_option
@device_options
@force_option
@quiet_option
def explain(
    file: str, output: str | None, models: tuple[str, ...], force: bool, quiet: bool, **options: Any
) -> int:
    """Write an HTML page that shows FILE colored by what each piece costs when it is compressed.

    Point at a piece, or tap it, to see its bits, the likeliest bytes, and what predicted it: the
    GPT, or the adaptive stage by the bytes before, the word or an earlier match. The costs are
    those of the real file, and add up to it. With two models, the page compares them. It works
    offline and without other files, and FILE may hold anything: nothing in it is run. Takes several
    times as long as compressing.
    """
    from lmcompress.codec.costs import byte_costs
    from lmcompress.models.store import load_model
    from lmcompress.report.explaining.page import MAX_MODELS, build_page, check_input

    names = models or (DEFAULT_MODEL,)
    if len(names) > MAX_MODELS:
        raise click.UsageError(f"a page compares {MAX_MODELS} models, found {len(names)}")
    if output is None:
        if file == STANDARD:
            raise click.UsageError("FILE is stdin: name the page with -o")
        output = f"{file}.html"
    config, loaded = codec_config(**options), [load_model(name) for name in names]
    with open_input(file) as source:
        raw = read_all(source)
    check_input(raw, click.format_filename(file))
    with open_output(output, source=file, force=force) as target:
        with byte_progress(file, len(raw) * len(loaded), quiet=quiet) as progress:
            costs = [byte_costs(raw, model, config, progress) for model in loaded]
        name = "standard input" if file == STANDARD else Path(file).name
        page = build_page(name, costs).encode()
        write_all(target, page)
    for one in costs:
        say(
            f"{click.format_filename(file)}: {len(raw)} -> {one.compressed_bytes} bytes with "
            f"{one.model.name}, shown in {click.format_filename(output)} ({len(page):,} bytes)",
            quiet=quiet,
        )
    return 0
