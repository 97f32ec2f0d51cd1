"""Checks on an emulated 64-bit ARM processor that files are those of this machine.

    python -m tools.aarch64 [FOLDER]

Runs the tests of the golden files there, and compresses and decompresses a text with some models.
FOLDER (runs/aarch64) keeps Python, its packages and machine code: half a gigabyte. Takes about half
an hour, on Debian or Ubuntu as root, with qemu-user-static and
`dpkg --add-architecture arm64 && apt-get update`.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pip

import lmcompress
from lmcompress import CodecConfig

ROOT = Path(__file__).parents[2]
_DEBIAN = (
    "libbz2-1.0 libc6 libcrypt1 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.11-minimal "
    "libpython3.11-stdlib libsqlite3-0 libssl3 libstdc++6 libuuid1 python3.11-minimal zlib1g"
)
"""Packages of Debian 12."""
_PACKAGES = "click numba numpy platformdirs pooch requests safetensors tokenizers tqdm pytest"
_MODELS, _LANES = ("none", "lmc-3m", "ladder-200k"), 4
_RAW = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))[:3000]
_CPU_INFO = """processor\t: {}
Features\t: fp asimd aes sha2 crc32 atomics asimdrdm asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0c

"""
"""What Linux says of a Neoverse N1; qemu would show this machine's own processor."""


class Emulated:
    """A Python for aarch64 in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder.resolve(), folder.resolve() / "root"
        if shutil.which("qemu-aarch64-static") is None:
            sys.exit("qemu-aarch64-static is missing: install qemu-user-static")
        if not self.root.exists():
            self._install_python()
        if not (self.folder / "site").exists():
            self._install_packages()

    def _install_python(self) -> None:
        archives = self.folder / "archives"
        archives.mkdir(parents=True)
        names = [f"{name}:arm64" for name in _DEBIAN.split()]
        subprocess.run(["apt-get", "-q", "download", *names], cwd=archives, check=True)
        for archive in archives.iterdir():
            subprocess.run(["dpkg-deb", "-x", archive, self.root], check=True)
        (self.root / "proc").mkdir()
        (self.root / "proc" / "cpuinfo").write_text("".join(map(_CPU_INFO.format, range(2))))

    def _install_packages(self) -> None:
        """Installs what was tested, by the emulated pip, so that it finds that processor's."""
        shutil.copytree(Path(pip.__file__).parent, self.folder / "pip" / "pip")
        options = ["--no-compile", "-c", str(ROOT / "constraints.txt"), "--target"]
        self.run("-m", "pip", "install", "-q", *options, "site", *_PACKAGES.split(), path="pip")

    def run(self, *args: str, path: str = "") -> None:
        """Runs the emulated Python, in the folder or, without a path of packages, in the clone."""
        ours = [Path(__file__).parent / "stand_ins", self.folder / "site", ROOT]
        env = {
            **os.environ,
            "PYTHONHOME": "/usr",
            "PYTHONPATH": path or os.pathsep.join(map(str, ours)),
            "QEMU_CPU": "neoverse-n1",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        python = self.root / "usr" / "bin" / "python3.11"
        command: list[str | Path] = ["qemu-aarch64-static", "-L", self.root, python, *args]
        subprocess.run(command, cwd=self.folder if path else ROOT, env=env, check=True)


def check_golden_files(emulated: Emulated) -> None:
    """Golden files decode there, and are made byte for byte.

    Without PyTorch, that of tokens cannot be read: its odd vocabulary fits no kernel.
    """
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-k", "not reference and not tokens"]
    emulated.run("-m", "pytest", *options, "tests/codec/test_golden.py")


def check_model(emulated: Emulated, name: str) -> None:
    """There, a model makes of a text the file that this machine's reference engine makes of it."""
    raw, here, there, back = (emulated.folder / name for name in ("raw", "here", "there", "back"))
    raw.write_bytes(_RAW)
    config = CodecConfig(lanes=_LANES, device="cpu" if name == "none" else "reference")
    here.write_bytes(lmcompress.compress(_RAW, name, config))
    ours = ("-m", "lmcompress")
    options = ("-q", "-f", "-m", name, "--lanes", str(_LANES))
    emulated.run(*ours, "compress", *options, str(raw), "-o", str(there))
    if there.read_bytes() != here.read_bytes():
        sys.exit(f"{there} differs from {here}")
    emulated.run(*ours, "decompress", "-q", "-f", str(here), "-o", str(back))
    if back.read_bytes() != _RAW:
        sys.exit(f"{back} differs from {raw}")
    print(f"{name}: the same {there.stat().st_size:,} bytes, and back", flush=True)


def main() -> None:
    """Runs all checks."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "aarch64"
    emulated = Emulated(folder)
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("numba", "numpy"))
    print(f"aarch64, emulated by qemu as a Neoverse N1; {versions}", flush=True)
    for name in _MODELS:
        check_model(emulated, name)
    check_golden_files(emulated)


if __name__ == "__main__":
    main()
