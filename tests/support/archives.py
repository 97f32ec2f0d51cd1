"""Archives made in memory."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def tar_gz(members: Mapping[str, bytes]) -> bytes:
    """Returns a compressed tar archive of files by name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, raw in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return packed.getvalue()
