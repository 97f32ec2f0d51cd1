"""The command line: `lmcompress COMMAND`. Data goes to stdout, everything else to stderr.

`lmcompress.cli.shorthand` says what a line without a command means. Exit codes: 0 success,
1 failure (with one line on stderr for each error), 2 wrong usage, 3 left out by --salvage,
130 interrupted.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

import click
from click.shell_completion import CompletionItem

from lmcompress import __version__
from lmcompress.cli.bench import bench, demo
from lmcompress.cli.columns import columns
from lmcompress.cli.completion import complete_files, completion
from lmcompress.cli.compress import compress
from lmcompress.cli.decompress import decompress, test
from lmcompress.cli.errors import error_line, is_user_error
from lmcompress.cli.explain import explain
from lmcompress.cli.fetch import fetch
from lmcompress.cli.info import info
from lmcompress.cli.models import models
from lmcompress.cli.options import verbose_option
from lmcompress.cli.prove import prove
from lmcompress.cli.report import report
from lmcompress.cli.reproduce import reproduce
from lmcompress.cli.score import score
from lmcompress.cli.shorthand import translated
from lmcompress.cli.train import train
from lmcompress.cli.train_tokenizer import train_tokenizer

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

_log = logging.getLogger("lmcompress")


class _Commands(click.Group):
    """The commands, in the order in which users meet them; `compress` may be left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_completing_first = ctx.resilient_parsing and not args
        return super().parse_args(ctx, args if is_completing_first else translated(args, self))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:  # the first word may have been meant as either
            message = exc.format_message().replace("No such command", "No such command or file")
            raise click.UsageError(message, ctx) from exc

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, incomplete) or complete_files(ctx, None, incomplete)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: lmcompress compress book.txt && lmcompress decompress -c book.txt.lmc",
)
@click.version_option(
    __version__, "-V", "--version", prog_name="lmcompress", message="%(prog)s %(version)s"
)
@verbose_option
def lmcompress() -> None:
    """Compress files losslessly with language models whose arithmetic is exact.

    COMMAND may be left out, as with gzip, xz and zstd: FILE and -z compress, -d decompresses, -t
    tests, -l lists; without a FILE, stdin is read and stdout written. Options of the command come
    before or after FILE, as in lmcompress -9 -c FILE or tar -I lmcompress -xf FILE.tar.lmc.
    """


for _command in (
    compress, decompress, test, info, score, columns, explain, prove, models, fetch, train,
    train_tokenizer, bench, demo, reproduce, report, completion,
):  # fmt: skip
    lmcompress.add_command(verbose_option(_command))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code; prints errors as one line, no traceback.

    Args:
      argv: Arguments without the program's name; those of the process if None.
    """
    with _logging_to_stderr(), _termination_as_interrupt():
        return _settle_stdout(_run(None if argv is None else list(argv)))


def _run(args: list[str] | None) -> int:
    try:
        code = lmcompress.main(args, prog_name="lmcompress", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        click.echo("lmcompress: interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except SystemExit as exc:  # click exits so when nobody reads the pipe any more
        return exc.code if isinstance(exc.code, int) else EXIT_ERROR
    except Exception as exc:
        if not is_user_error(exc):
            raise
        _log.debug("traceback:", exc_info=exc)
        click.echo(f"lmcompress: {error_line(exc)}", err=True)
        return EXIT_ERROR


@contextlib.contextmanager
def _logging_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("lmcompress: %(message)s"))
    level = _log.level
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end the program like Ctrl-C, which removes temporary files."""
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # Leave a signal alone that nohup, say, ignores on purpose.
        if number is None or signal.getsignal(number) is not signal.SIG_DFL:
            continue
        try:
            before[number] = signal.signal(number, _interrupt)
        except ValueError:  # not the main thread, the only one that gets signals
            break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _settle_stdout(code: int) -> int:
    """Flushes stdout; if that fails, keeps the interpreter from trying again at exit."""
    try:
        sys.stdout.flush()
    except AttributeError:  # stdout is None if the program was started with it closed
        return code
    except OSError as exc:
        if not code:
            click.echo(f"lmcompress: stdout: {error_line(exc)}", err=True)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return code
