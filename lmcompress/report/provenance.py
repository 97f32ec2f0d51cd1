"""Where the records of an experiment come from: runs, texts, models, versions."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable
from typing import NamedTuple

from lmcompress.report.results import Row

_PROVENANCE = {"run_id", "git_commit", "command", "machine", "fingerprint", "corpus_sha256"}


class Run(NamedTuple):
    """The records that one command wrote from one commit, on one machine and day."""

    date: str
    command: str
    commit: str
    """Twelve digits, followed by "+" if the code differed from the commit."""
    machine: str
    num_records: int


class Corpus(NamedTuple):
    """A text that was compressed or scored."""

    name: str
    raw_bytes: int | None
    sha256: str


def runs_of(rows: Iterable[Row]) -> list[Run]:
    """Returns the runs, oldest first; rows without a command are left out."""
    counts = collections.Counter(
        (_date(row), row["command"], _commit(row), row.get("machine") or "")
        for row in rows
        if row.get("command")
    )
    return [Run(*key, num_records=count) for key, count in sorted(counts.items())]


def corpora_of(rows: Iterable[Row]) -> list[Corpus]:
    """Returns each corpus once, in the order of the records."""
    return list(
        dict.fromkeys(
            Corpus(_corpus_name(row), row.get("raw_bytes"), row["corpus_sha256"])
            for row in rows
            if row.get("corpus_sha256")
        )
    )


def models_of(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Returns fingerprint -> the names that the records have for that model, if any."""
    names: dict[str, list[str]] = {}
    for row in rows:
        fingerprint = row.get("fingerprint") or ""
        if fingerprint.strip("0"):  # zeros mean no model: the adaptive stage alone
            known = names.setdefault(fingerprint, [])
            name = row.get("codec") or row.get("model") or ""
            if name and name not in known:
                known.append(name)
    return names


def versions_of(rows: Iterable[Row]) -> list[str]:
    """Returns the versions of codecs and libraries that the records name, each once."""
    found = dict.fromkeys(
        f"{row['codec']}: {row['codec_version']}"
        for row in rows
        if row.get("codec_version") and not row.get("fingerprint")
    )
    for library in ("lmcompress", "torch", "python"):
        versions = {row[key] for row in rows if row.get(key := f"{library}_version")}
        found |= {f"{library} {version}": None for version in sorted(versions)}
    return list(found)


def num_decoded(rows: Iterable[Row]) -> int:
    """Returns the number of records whose file was decompressed and compared."""
    return sum(row.get("round_trip_ok") is True for row in rows)


def last_date(rows: Iterable[Row]) -> str:
    """Returns the day of the newest record, or "" if no record has one."""
    return max(map(_date, rows), default="")


def _date(row: Row) -> str:
    match = re.match(r"(\d{4})-?(\d\d)-?(\d\d)T", row.get("created_utc") or row.get("run_id") or "")
    return "-".join(match.groups()) if match else ""


def _commit(row: Row) -> str:
    commit = str(row.get("git_commit") or "")[:12]
    return f"{commit}+" if commit and row.get("git_dirty") else commit


def _corpus_name(row: Row) -> str:
    """Returns a record's corpus, else its first field that is a string."""
    if row.get("corpus"):
        return str(row["corpus"])
    texts = (v for k, v in row.items() if isinstance(v, str) and k not in _PROVENANCE)
    return next(texts, "")
