"""What `reproduce` looks for before it computes anything: texts and packages of experiments."""

from __future__ import annotations

import collections
import dataclasses
import importlib.util
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmcompress import corpora
from lmcompress.corpora import Corpus, CorpusLibrary
from lmcompress.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class Needs:
    """What the experiments of a checkout need, in full or in their quick forms."""

    texts: Mapping[str, tuple[str, ...]]
    extras: Mapping[str, tuple[str, ...]]
    """The packages of each extra."""
    more_extras: Mapping[str, tuple[str, ...]]
    """Of single experiments; all need `paper`."""
    library: CorpusLibrary

    @classmethod
    def of(cls, root: Path, *, quick: bool) -> Needs:
        """Reads experiments/needs.py of a checkout."""
        found: dict[str, Any] = runpy.run_path(str(root / "experiments" / "needs.py"))
        texts = found["QUICK_TEXTS" if quick else "TEXTS"]
        return cls(texts, found["EXTRAS"], found["MORE_EXTRAS"], corpora.default_library())

    def corpora_of(self, experiment: str) -> list[Corpus]:
        """Returns the texts of an experiment."""
        known = self.library.registry
        return [
            known[name]
            for wanted in self.texts.get(experiment, ())
            for name in (
                [n for n in known if n.startswith(wanted)] if wanted[-1] == "/" else [wanted]
            )
        ]

    def described(self, experiment: str) -> str:
        """Returns how many texts and bytes an experiment needs, and where they come from."""
        texts = self.corpora_of(experiment)
        if not texts:
            return "no texts"
        size = sum(corpus.raw_bytes for corpus in texts) / 1e6
        places = collections.Counter(self.library.place_of(corpus) for corpus in texts)
        where = ", ".join(f"{count} {place}" for place, count in sorted(places.items()))
        return f"{len(texts)} text{'s' if len(texts) > 1 else ''}, {size:,.1f} MB: {where}"

    def lacking(self, experiment: str) -> str | None:
        """Returns what cannot be had of what an experiment needs; downloads what can."""
        for extra in ("paper", *self.more_extras.get(experiment, ())):
            for package in self.extras[extra]:
                if importlib.util.find_spec(package) is None:
                    return f"it needs the package {package}: pip install '.[{extra}]'"
        for corpus in self.corpora_of(experiment):
            try:
                self.library.make_available(corpus)
            except CorpusError as exc:
                return str(exc)
        return None
