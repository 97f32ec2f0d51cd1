"""Pages in a real browser: sizes of screens, errors that a page makes, screenshots to keep."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
PATIENCE_MS = 120_000
"""A page of megabytes takes half a minute where other work has all cores."""
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def opened(
    browser: Any, path: Path, built: str, *, ready: str = "body", **screen: Any
) -> tuple[Any, list[str]]:
    """Returns the page once `ready`, a selector, is there, and a list that gets its errors."""
    path.write_text(built, "utf-8")
    shown, errors = browser.new_page(**screen), []
    shown.set_default_timeout(PATIENCE_MS)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("console", lambda said: said.type == "error" and errors.append(said.text))
    shown.on("dialog", lambda dialog: errors.append(dialog.message))
    shown.goto(path.as_uri())
    shown.wait_for_selector(ready, state="attached")
    return shown, errors


def keep(shown: Any, name: str, *, full_page: bool = True) -> None:
    """Writes a screenshot into the folder that LMCOMPRESS_SCREENSHOTS names, if it names one."""
    if folder := os.environ.get("LMCOMPRESS_SCREENSHOTS"):
        shown.screenshot(path=Path(folder) / f"{name}.png", full_page=full_page)
