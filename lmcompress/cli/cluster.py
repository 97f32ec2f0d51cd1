"""The options that share a file's segments among the nodes of a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def cluster_option(what: str) -> Callable[[Command], Command]:
    """Returns the option --cluster; its help says what the nodes share."""
    return click.option(
        "--cluster",
        metavar="ADDRESS",
        help=f"{what} a Ray cluster. ADDRESS is auto (this machine's), HOST:PORT or ray://HOST:PORT.",
    )


share_segments_option = cluster_option("Share the segments among the nodes of")


class _Share(click.ParamType):  # type: ignore[type-arg]
    """A share in percent, as a number from 0 to 1."""

    name = "percent"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Reads "1%" or "1"."""
        if isinstance(value, float):
            return value
        try:
            share = float(str(value).removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"found {value!r}, expected 0% to 100%", param, ctx)
        return share


audit_option = click.option(
    "--audit",
    type=_Share(),
    default=0.0,
    metavar="PERCENT",
    help="With --cluster: compress this share of the segments on a second node too; if the results "
    "differ, leave out the node that was wrong.  [default: 0%]",
)


def compress_with(cluster: str | None, audit: float, resume: bool) -> Command:
    """Returns what compresses a stream, as the options ask for it."""
    from lmcompress.codec.resume import resume_stream
    from lmcompress.codec.stream import compress_stream

    if cluster is None:
        if audit:
            raise click.UsageError("--audit compares nodes of a cluster: add --cluster")
        return resume_stream if resume else compress_stream
    if resume:
        raise click.UsageError(
            "--cluster always goes on where a run was stopped: leave out --resume"
        )
    from lmcompress.cluster.compress import compress_on_cluster

    return functools.partial(compress_on_cluster, address=cluster, audit=audit)


def score_with(cluster: str | None) -> Command:
    """Returns what scores bytes: this machine, or a cluster."""
    if cluster is None:
        from lmcompress.codec.scoring import score

        return score
    from lmcompress.cluster.score import score_on_cluster

    return functools.partial(score_on_cluster, address=cluster)


def decompress_with(cluster: str | None, write: Command) -> Command:
    """Returns what decompresses a stream: `write`, or a cluster."""
    if cluster is None:
        return write
    from lmcompress.cluster.decompress import decompress_on_cluster

    return functools.partial(decompress_on_cluster, address=cluster)
