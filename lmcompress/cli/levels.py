"""The options -1 to -9, --fast and --best: one number for model, lanes and segment bytes."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

_LEVELS = {**{f"-{level}": level for level in range(1, 10)}, "--fast": 1, "--best": 9}


class _LevelOption(click.Option):
    """-1 to -9, --fast and --best as one option, of which the last counts."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Gives each name its level."""
        for name, level in _LEVELS.items():
            parser.add_option(self, [name], dest=self.name, action="store_const", const=level)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Returns one line for all."""
        return "-1 ... -9, --fast, --best", self.help or ""


level_option = click.option(
    *_LEVELS,
    "level",
    cls=_LevelOption,
    is_flag=True,
    flag_value=0,
    type=int,
    default=None,
    help="Level: -1 to -3 leave out the GPT, the fastest; -4 to -6 are the default; -7 to -9 take "
    "one lane, the smallest file. -m, --lanes and --segment-bytes override it.",
)


def apply_level(level: int, model: str, options: dict[str, Any]) -> str:
    """Puts a level's settings into options that were not given; returns its model, or the given."""
    from lmcompress.api.levels import LEVELS

    chosen = LEVELS[level]
    for name in ("lanes", "segment_bytes"):
        if options[name] is None:
            options[name] = getattr(chosen, name)
    source = click.get_current_context().get_parameter_source("model")
    return chosen.model if source is ParameterSource.DEFAULT else model
