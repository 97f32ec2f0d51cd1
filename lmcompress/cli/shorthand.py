"""`lmcompress` called as gzip, xz and zstd are: `lmcompress -9 FILE`, `lmcompress -dc < FILE.lmc`.

One rule: a line that does not begin with a command gets one. That is `decompress` for -d, `test`
for -t and `info --table` for -l, the last of them counting; or else a command that stands behind
options; or else `compress`. What another of these four commands takes, and this one does not, is
left out, so that `tar -I 'lmcompress -9'` unpacks as well.

A line whose first word is neither a command nor the name of a file stays as it is: it may be a
mistyped command.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from lmcompress.cli.streams import STANDARD, is_stdin_piped

_COMPRESS, _DECOMPRESS, _TEST, _LIST = (
    ("compress",), ("decompress",), ("test",), ("info", "--table"),
)  # fmt: skip
_MODES = {
    "-z": _COMPRESS,
    "--compress": _COMPRESS,
    "-d": _DECOMPRESS,
    "--decompress": _DECOMPRESS,
    "--uncompress": _DECOMPRESS,
    "-t": _TEST,
    "--test": _TEST,
    "-l": _LIST,
    "--list": _LIST,
}
_BEFORE = ("-v", "--verbose", "-V", "--version")
"""Options that belong before a command."""
_HELP = ("-h", "--help")
_WORD, _WORDS = "", "--"


class _Token(NamedTuple):
    """An option and its value, or a word, or -- and the words behind it."""

    name: str
    """The option's; _WORD or _WORDS."""
    args: tuple[str, ...]

    def is_command(self, group: click.Group) -> bool:
        """Whether it is a word that names a command."""
        return self.name == _WORD and self.args[0] in group.commands

    @property
    def is_file(self) -> bool:
        """Whether it is a word that names a file, or stdin."""
        word = self.args[0]
        return self.name == _WORD and (word == STANDARD or os.path.lexists(word))


def translated(args: Sequence[str], group: click.Group) -> list[str]:
    """Returns arguments that begin with a command, or `args` if they do already or cannot."""
    options = {command[0]: _options(group.commands[command[0]]) for command in _MODES.values()}
    known = {name: param for params in options.values() for name, param in params.items()}
    tokens = list(_tokens(args, {name for name, param in known.items() if not param.is_flag}))
    before = [token for token in tokens if token.name in _BEFORE]
    tokens = [token for token in tokens if token.name not in _BEFORE]
    if not tokens:
        return [*args, *_COMPRESS] if is_stdin_piped() else list(args)

    first, modes = tokens[0], [_MODES[token.name] for token in tokens if token.name in _MODES]
    if first.name in _HELP or first.is_command(group):
        return list(args)
    if not modes and first.name == _WORD and not first.is_file:
        return list(args)
    word = next((token for token in tokens if token.name == _WORD), first)
    if not modes and word.is_command(group) and not word.is_file:
        tokens.remove(word)
        return _joined([*before, word, *tokens])
    command = modes[-1] if modes else _COMPRESS
    foreign = {*_MODES, *known} - options[command[0]].keys()
    kept = [token for token in tokens if token.name not in foreign]
    return [*_joined(before), *command, *_joined(kept)]


def _options(command: click.Command) -> dict[str, click.Option]:
    return {
        name: param
        for param in command.params
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
    }


def _tokens(args: Sequence[str], with_value: set[str]) -> Iterator[_Token]:
    """Yields what the arguments are made of, each letter of -dc on its own, as click reads them."""
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--":
            yield _Token(_WORDS, (arg, *rest))
            return
        if arg.startswith("--"):
            name, equals, _ = arg.partition("=")
            yield _option(name, arg, rest if name in with_value and not equals else [])
        elif arg.startswith("-") and arg != STANDARD:
            letters = arg[1:]
            while letters:
                name, letters = f"-{letters[0]}", letters[1:]
                if name not in with_value:
                    yield _Token(name, (name,))
                    continue
                yield _option(name, name + letters, [] if letters else rest)
                break
        else:
            yield _Token(_WORD, (arg,))


def _option(name: str, arg: str, rest: list[str]) -> _Token:
    """Returns an option with the value that follows it, if there is one, taken from `rest`."""
    return _Token(name, (arg, rest.pop(0)) if rest else (arg,))


def _joined(tokens: Sequence[_Token]) -> list[str]:
    return [arg for token in tokens for arg in token.args]
