"""Homes: where corpora can be downloaded, as the registry writes it down.

URL, or URL#MEMBER for a file in an archive, either with @OFFSET+COUNT for some bytes of it. A * in
MEMBER joins the files of a tar archive that are called so. Several homes with spaces between them
are joined too, and {00..13} in one stands for 14 of them.
"""

from __future__ import annotations

import dataclasses
import re

_RANGE = re.compile(r"(?P<name>.+)@(?P<offset>\d+)\+(?P<count>\d+)")
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


def split_range(name: str) -> tuple[str, tuple[int, int] | None]:
    """Splits "NAME@OFFSET+COUNT" into the name and (start, stop), or None for the whole."""
    match = _RANGE.fullmatch(name)
    if match is None:
        return name, None
    start = int(match["offset"])
    return match["name"], (start, start + int(match["count"]))


@dataclasses.dataclass(frozen=True)
class Source:
    """A download, and what of it belongs to a corpus."""

    url: str
    member: str
    """Name of the file in the archive; empty if the download is the file itself."""
    span: tuple[int, int] | None
    """Its bytes from the first to before the second; None for all."""


def sources_of(home: str) -> list[Source]:
    """Returns the downloads of a home, in the order in which they are joined."""
    found = []
    for one in " ".join(map(_spread, home.split())).split():
        name, span = split_range(one)
        url, _, member = name.partition("#")
        found.append(Source(url, member, span))
    return found


def _spread(home: str) -> str:
    """Returns a home once for each number between braces."""
    match = _NUMBERS.search(home)
    if match is None:
        return home
    first, last = match.groups()
    numbers = (str(i).zfill(len(first)) for i in range(int(first), int(last) + 1))
    return " ".join(home.replace(match[0], number) for number in numbers)
