"""A public home on this machine: a folder that is served over HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

SHORT = "short.bin"
"""A file that the site declares as 1,000 bytes, and breaks off after 100."""


@dataclasses.dataclass
class Site:
    """A folder, its URL, and the paths that were asked for.

    The first `num_failures` answers have `failure_status` and break off.
    """

    folder: Path
    url: str = ""
    requests: list[str] = dataclasses.field(default_factory=list)
    num_failures: int = 0
    failure_status: int = 200


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, site: Site) -> None:
        self.site = site
        super().__init__(*args, directory=str(site.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.site.requests.append(self.path)
        if self.path != f"/{SHORT}" and len(self.site.requests) > self.site.num_failures:
            super().do_GET()
            return
        self.send_response(self.site.failure_status)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(bytes(100))

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Site]:
    """Serves a folder, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    site = Site(folder)
    handler = functools.partial(_Handler, site=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()
