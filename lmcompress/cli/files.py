"""Which files a command works on, and where their outputs go."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from lmcompress.cli.completion import complete_files
from lmcompress.cli.errors import FileErrors
from lmcompress.cli.options import Command
from lmcompress.cli.streams import STANDARD, is_pipe_or_device
from lmcompress.errors import LmcompressError

SUFFIX = ".lmc"

recursive_option = click.option(
    "-r", "--recursive", is_flag=True,
    help="FILE may be a folder: take all files below it. Symbolic links are not followed.",
)  # fmt: skip


def output_options(command: Command) -> Command:
    """Adds --output, --stdout, --rm and --recursive: the fields of `Destination`."""
    for option in (
        recursive_option,
        click.option(
            "--rm/--keep", " /-k", "remove", default=False,
            help="Remove each FILE once its output is complete, or keep it (the default).",
        ),
        click.option(
            "-c", "--stdout", "to_stdout", is_flag=True,
            help="Write everything to stdout, in order.",
        ),
        click.option(
            "-o", "--output", metavar="OUT", shell_complete=complete_files,
            help="Output file, if there is a single FILE, or a folder that exists; - is stdout.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def has_suffix(name: str) -> bool:
    """Whether a name ends in .lmc, in small or capital letters."""
    return name.lower().endswith(SUFFIX)


@dataclasses.dataclass(frozen=True)
class Job:
    """An input and its output."""

    name: str
    target: str
    """- for stdout."""


@dataclasses.dataclass(frozen=True)
class _Input:
    name: str
    below: str
    """Where its output goes in an output folder: its own name, after those of the folders that -r
    found it in."""


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where outputs go, and what becomes of the inputs."""

    output: str | None
    to_stdout: bool
    remove: bool
    recursive: bool

    def check(self, files: Sequence[str]) -> None:
        """Raises UsageError, or LmcompressError for a folder that is not there."""
        if self.output == "":
            raise click.UsageError("-o has an empty name: give a file name")
        if self.output and self.to_stdout:
            raise click.UsageError("-o and -c exclude each other: give one of them")
        if self.output is None or self.is_folder:
            return
        if self.output.endswith((os.sep, os.altsep or os.sep)):
            raise LmcompressError(f"found no folder {self.output}: create it")
        if len(files) > 1 or any(map(_is_folder, files)):
            raise click.UsageError(
                "-o takes a single FILE, or a folder that exists: create it, or use -c to write "
                "several into one stream"
            )

    @property
    def is_folder(self) -> bool:
        """Whether outputs go into a folder."""
        return self.output is not None and self.output != STANDARD and os.path.isdir(self.output)

    def jobs(
        self,
        files: Sequence[str],
        rename: Callable[[str], str],
        wants: Callable[[str], bool],
        errors: FileErrors,
    ) -> list[Job]:
        """Returns what there is to do; nothing is written yet.

        Args:
          files: Names of files, of folders with -r, and - for stdin.
          rename: Makes the name of an output from that of its input, or raises LmcompressError.
          wants: Whether a file found in a folder is to be taken, by its name.
          errors: Reports inputs that are left out.

        Raises:
          LmcompressError: If two inputs have the same output.
          UsageError: If inputs are to be removed that are not written to files.
        """
        jobs = []
        for found in _inputs(files, wants, self.recursive, errors):
            with errors.reported(found.name):
                jobs.append(Job(found.name, self._target(found, rename)))
        _refuse_clashes(jobs)
        if self.remove and not all(map(_is_file, jobs)):
            raise click.UsageError("--rm needs outputs that are files: leave out --rm, or use -o")
        return jobs

    def _target(self, found: _Input, rename: Callable[[str], str]) -> str:
        if self.output is not None and self.is_folder:
            if found.name == STANDARD:
                raise LmcompressError("stdin has no name: give -o a file name")
            return os.path.join(self.output, rename(found.below))
        to_stream = self.to_stdout or found.name == STANDARD
        if not (self.output or to_stream) and is_pipe_or_device(Path(found.name)):
            raise LmcompressError("it is a pipe or a device: use -c, or -o to name the output")
        return self.output or (STANDARD if to_stream else rename(found.name))

    def make_room(self, job: Job) -> None:
        """Creates the folders between an output folder and the output."""
        if self.is_folder:
            os.makedirs(os.path.dirname(job.target), exist_ok=True)


def listed(
    files: Sequence[str], wants: Callable[[str], bool], recursive: bool, errors: FileErrors
) -> list[str]:
    """Returns the names of the files that `Destination.jobs` would take."""
    return [found.name for found in _inputs(files, wants, recursive, errors)]


def _inputs(
    files: Sequence[str], wants: Callable[[str], bool], recursive: bool, errors: FileErrors
) -> list[_Input]:
    found = []
    for name in files:
        with errors.reported(name):
            if not _is_folder(name):
                found.append(_Input(name, os.path.basename(name)))
            elif not recursive:
                raise LmcompressError("it is a folder: pass -r for the files below it")
            elif os.path.islink(name):
                raise LmcompressError("it is a symbolic link to a folder, which -r does not follow")
            else:
                found += _below(name, wants, errors)
    return found


def _below(folder: str, wants: Callable[[str], bool], errors: FileErrors) -> Iterator[_Input]:
    """Yields the regular files below a folder, in the order of their names."""

    def report(exc: OSError) -> None:
        with errors.reported(str(exc.filename)):
            raise exc

    own_name = os.path.basename(os.path.normpath(folder))
    if own_name in (os.curdir, os.pardir):
        own_name = ""
    for parent, folders, names in os.walk(folder, onerror=report):
        folders.sort()
        for name in sorted(filter(wants, names)):
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield _Input(path, os.path.join(own_name, os.path.relpath(path, folder)))


def _refuse_clashes(jobs: Sequence[Job]) -> None:
    inputs: dict[str, str] = {}
    for job in filter(_is_file, jobs):
        path = os.path.realpath(job.target)
        if path in inputs:
            names = " and ".join(map(click.format_filename, (inputs[path], job.name)))
            raise LmcompressError(
                f"{names} would both become {click.format_filename(job.target)}: take them one by "
                "one, with an -o for each"
            )
        inputs[path] = job.name


def _is_folder(name: str) -> bool:
    return name != STANDARD and os.path.isdir(name)


def _is_file(job: Job) -> bool:
    return job.target != STANDARD and not is_pipe_or_device(Path(job.target))
