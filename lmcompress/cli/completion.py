"""The command `completion`, and what a shell completes: file names and names of models."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

_SHELLS = ("bash", "zsh", "fish")


def complete_files(
    _ctx: click.Context, _param: click.Parameter | None, incomplete: str
) -> list[CompletionItem]:
    """Leaves it to the shell to complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


def complete_models(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completes the names of installed models, or of folders if no model matches."""
    from lmcompress.models.store import NO_MODEL, folders

    names = [name for name in (*folders(), NO_MODEL) if name.startswith(incomplete)]
    return list(map(CompletionItem, names)) or [CompletionItem(incomplete, type="dir")]


@click.command(
    short_help="Print a shell completion script.",
    epilog="Example: lmcompress completion bash >> ~/.bashrc",
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> int:
    """Print a script that completes commands, options, files and models in a shell.

    Add it to ~/.bashrc or ~/.zshrc, or for fish to ~/.config/fish/completions/lmcompress.fish.
    """
    command = click.get_current_context().find_root().command
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(command, {}, "lmcompress", "_LMCOMPRESS_COMPLETE").source())
    return 0
