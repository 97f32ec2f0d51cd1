"""Reads results/: one folder per experiment.

A folder counts if it has records.jsonl or table.md. Titles and captions are in the scripts of the
checkout, if the folder is part of one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmcompress.benchmark.records import read_rows
from lmcompress.errors import LmcompressError
from lmcompress.report.declared import Declared, declared_beside
from lmcompress.system.extras import needs_extra

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
_RECORDS, _TABLE = "records.jsonl", "table.md"
_DOCUMENTS = ("README.md", "LOG.md")
UNGROUPED = "Other experiments"


class Figure(NamedTuple):
    """A drawing of an experiment."""

    path: Path
    """The SVG if there is one, else the PNG."""
    caption: str
    """What a reader sees in it; the name of the file if no script says so."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One folder of results/."""

    name: str
    title: str
    question: str
    """The first line of the script's docstring; like `method`, empty without a script."""
    method: str
    """The rest of the docstring, markdown."""
    table: str
    """Markdown; empty if there is no table.md yet."""
    rows: Sequence[Row]
    figures: Sequence[Figure]


class Group(NamedTuple):
    """Experiments under one heading."""

    heading: str
    experiments: Sequence[Experiment]


@dataclasses.dataclass(frozen=True)
class Results:
    """All experiments with results, and those without."""

    groups: Sequence[Group]
    missing: Mapping[str, str]
    """Name -> title of declared experiments without results."""
    documents: Mapping[str, str]
    """File name -> markdown: README.md and LOG.md of the folder, if they exist."""

    @property
    def experiments(self) -> list[Experiment]:
        """All experiments with results, in the order of the groups."""
        return [one for group in self.groups for one in group.experiments]


def read_results(folder: Path) -> Results:
    """Returns the contents of a results folder, in the groups that the scripts declare.

    Experiments that are in no group come last.

    Raises:
      LmcompressError: If no experiment has results there, or a record is damaged.
    """
    declared = declared_beside(folder)
    found = {path.name: path for path in _experiment_folders(folder)}
    if not found:
        raise LmcompressError(
            f"found no results in {folder}, expected folders with {_RECORDS} or {_TABLE}: run "
            "`lmcompress reproduce` in a checkout, or name another folder"
        )
    grouped = set(itertools.chain.from_iterable(declared.groups.values()))
    rest = [name for name in dict.fromkeys((*declared.titles, *found)) if name not in grouped]
    groups = [
        Group(heading, [_read(found[name], declared) for name in names if name in found])
        for heading, names in {**declared.groups, UNGROUPED: rest}.items()
    ]
    return Results(
        [group for group in groups if group.experiments],
        {name: title for name, title in declared.titles.items() if name not in found},
        {
            name: (folder / name).read_text("utf-8")
            for name in _DOCUMENTS
            if (folder / name).is_file()
        },
    )


def frame_of(results: Results) -> pd.DataFrame:
    """Returns all records as one table: the experiment's name, then a column for each field."""
    with needs_extra("notebooks", "a table of all records", "pandas"):
        import pandas as pd
    return pd.DataFrame(
        [{"experiment": one.name, **row} for one in results.experiments for row in one.rows]
    )


def has_results(folder: Path) -> bool:
    """Returns whether any experiment has results there."""
    return any(_experiment_folders(folder))


def _experiment_folders(folder: Path) -> Iterator[Path]:
    """Yields the folders of experiments, sorted by name; results/quick is none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / _RECORDS).is_file() or (path / _TABLE).is_file():
            yield path


def _read(folder: Path, declared: Declared) -> Experiment:
    table = folder / _TABLE
    question, method = declared.docstring(folder.name)
    return Experiment(
        name=folder.name,
        title=declared.titles.get(folder.name) or _spelled(folder.name).capitalize(),
        question=question,
        method=method,
        table=table.read_text("utf-8") if table.is_file() else "",
        rows=read_rows(folder / _RECORDS),
        figures=[
            Figure(path, declared.captions.get(f"{folder.name}/{path.stem}") or _spelled(path.stem))
            for path in _drawings(folder)
        ],
    )


def _spelled(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def _drawings(folder: Path) -> list[Path]:
    """Returns one file for each figure, sorted by name."""
    by_stem = {path.stem: path for path in sorted(folder.glob("*.png"))}
    by_stem |= {path.stem: path for path in sorted(folder.glob("*.svg"))}
    return [by_stem[stem] for stem in sorted(by_stem)]
