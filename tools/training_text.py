"""Builds training text of the kinds that the embedded models have read, from public repositories.

    python -m tools.training_text DIR [--text NAME]... [--megabytes N]

The texts of train/ cannot be downloaded. This makes others like them: books-en.txt, docs.txt,
code-mix.txt, data-mix.txt and languages.txt, of files that tools/training_text.tsv names, each
after a line ==> path <==. Every repository gives an equal share. Books of authors whose works are
test texts are left out, and so are files that are not UTF-8. A model trained on it is not the one
in the package, but its figures should be close. At the end it prints a [sources] table for
`lmcompress train`.
"""

from __future__ import annotations

import csv
import hashlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import click

from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically
from lmcompress.system.download import fetch
from lmcompress.system.stale import temporary_folder

TABLE = Path(__file__).with_suffix(".tsv")
SITE = "https://github.com"
TESTED = ("Carroll", "Shakespeare", "Milton", "Hardy", "Dickens", "Dostoyevsky", "Dostoevsky")
"""Authors of test texts (canterbury, calgary, silesia, i18n): no book of theirs is taken."""
_START, _END = re.compile(r"\*\*\* ?START OF.*?\n"), re.compile(r"\n[^\n]*\*\*\* ?END OF")
_TAG = re.compile(r"<[^>]*>")


class Source(NamedTuple):
    """A line of the table."""

    text: str
    """Name of the text that it belongs to."""
    repository: str
    """OWNER/NAME."""
    files: str
    """Patterns of paths, with spaces between them, matched from the right."""
    cut: str
    """What does not belong to the text: gutenberg (licence), tags (XML), or nothing."""

    @property
    def url(self) -> str:
        """Of a tar archive of the newest commit."""
        return f"{SITE}/{self.repository}/archive/HEAD.tar.gz"


def sources() -> list[Source]:
    """Returns the lines of the table."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return [Source(**row) for row in csv.DictReader(lines, delimiter="\t")]


def build(text: str, folder: Path, num_bytes: int) -> Path:
    """Writes a text of at most `num_bytes` bytes, and returns its path.

    Raises:
      LmcompressError: If a repository cannot be downloaded, or has none of the files.
    """
    found = [source for source in sources() if source.text == text]
    path = folder / f"{text}.txt"
    with temporary_folder(folder) as scratch, replace_atomically(path, overwrite=True) as output:
        for source in found:
            archive = scratch / source.repository.replace("/", "-")
            try:
                fetch(source.url, archive, label=source.repository)
            except OSError as exc:
                raise LmcompressError(f"cannot download {source.url} ({exc}): go online") from exc
            written = 0
            for part in parts(source, archive):
                part = part[: num_bytes // len(found) - written]
                written += output.write(part)
            if not written:
                raise LmcompressError(
                    f"{source.url} has no files like {source.files}: correct {TABLE.name}"
                )
            archive.unlink()
    return path


def parts(source: Source, archive: Path) -> Iterator[bytes]:
    """Yields the files of a source, each after a line with its path, in an order of their hashes.

    That order spreads over all folders, and is the same whenever the archive is.
    """
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if is_wanted(name, source.files.split())]
        for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
            file = tar.extractfile(name)
            raw = file.read() if file else b""
            try:
                text = cleaned(raw.decode(), source.cut)
            except UnicodeDecodeError:
                continue
            if text:
                yield f"==> {name.partition('/')[2]} <==\n{text}\n".encode()


def is_wanted(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path in an archive is one of the files, and of no author that is tested."""
    path = PurePosixPath(name)
    return any(map(path.match, patterns)) and not any(author in path.name for author in TESTED)


def cleaned(text: str, cut: str) -> str:
    """Returns what of a file is text, with LF at the ends of lines."""
    text = text.replace("\r\n", "\n")
    if cut == "tags":
        text = _TAG.sub("", text)
    elif cut == "gutenberg":
        start, end = _START.search(text), _END.search(text)
        text = text[start.end() if start else 0 : end.start() if end else len(text)]
    return text.strip()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--text", "texts", multiple=True, type=click.Choice(sorted({s.text for s in sources()}))
)
@click.option("--megabytes", type=click.IntRange(min=1), default=12, help="Of each text.")
def main(folder: Path, texts: tuple[str, ...], megabytes: int) -> None:
    """Builds training text from public repositories."""
    folder.mkdir(parents=True, exist_ok=True)
    click.echo("[sources]")
    try:
        for text in texts or dict.fromkeys(source.text for source in sources()):
            path = build(text, folder, megabytes * 1_000_000)
            click.echo(f'"{path}" = {path.stat().st_size / 1e6:.1f}')
    except LmcompressError as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main()
