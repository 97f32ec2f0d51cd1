"""The paper's four modalities as bytes: text, image patches, speech, random bytes.

Delétang et al. (2024), section 3.1, in chunks of 2,048 bytes. All 8 bits of a byte are kept: the
paper's repository clears one bit of all bytes that are not ASCII. What each modality is made of:

- **text**: enwik8 from offset 3,000,000 on (its head is easier than the rest).
- **images**: the 24 Kodak pictures as grey levels (Pillow's mode L, ITU-R 601 luma in integers),
  cut into patches of 32 rows of 64 pixels that do not overlap, row by row, picture by picture.
- **speech**: the available LibriSpeech utterances in the order of their names, the upper 8 bits of
  each 16-bit sample plus 128, cut into pieces of 2,048 samples; an utterance's last, shorter piece
  is left out.
- **random**: the raw output of PCG64 seeded with 0, little-endian.

There is also **extract**: Wikipedia as plain text, the kind of text that the ladder was trained on,
of other pages (`enwiki-2021-extract.part3`). enwik8, by contrast, is Wikipedia in mark-up.

Images and speech are shuffled piece by piece with a fixed seed and then taken from the front, so a
sample is drawn from all pictures and speakers, and a larger one begins with the smaller ones.

The paper takes 1 GB of each: enwik9, patches of ImageNet, LibriSpeech train-clean-100. More text
than the stored slice has is taken from enwik8 and enwik9 by name; ImageNet and all of LibriSpeech
would take the place of what `_image_pieces` and `_speech_pieces` yield.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lmcompress import corpora
from lmcompress.errors import CorpusError
from lmcompress.system.extras import needs_extra

MODALITIES = ("text", "images", "speech", "random")
EXTRACT = "extract"
CHUNK_BYTES = 2048
PATCH_ROWS, PATCH_COLUMNS = 32, 64
_TEXT_OFFSET = 3_000_000
"""Pages before it are in `enwiki-2016-pages.xml`, which the ladder was trained on."""
_TEXTS = ("enwik/enwik8.head-4150000", "enwik8", "enwik9")
_SOURCES = {
    EXTRACT: "enwik/enwiki-2021-extract.part3",
    "images": "kodak-patches",
    "speech": "librispeech-8bit",
    "random": "pcg64",
}
_SHUFFLE_SEED = 0
_RANDOM_SEED = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """Bytes of one modality under a name that, with the rules above, says which."""

    modality: str
    name: str
    raw: bytes

    @property
    def sha256(self) -> str:
        """Hash of the bytes, in hex."""
        return hashlib.sha256(self.raw).hexdigest()

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> list[bytes]:
        """Returns the bytes in pieces; the last may be shorter."""
        starts = range(0, len(self.raw), chunk_bytes)
        return [self.raw[start : start + chunk_bytes] for start in starts]


def sample(modality: str, num_bytes: int) -> Sample:
    """Returns the first `num_bytes` of a modality, or of the extract.

    Raises:
      CorpusError: If the modality is unknown, or has fewer bytes.
      MissingDependencyError: If the package that reads its files is not installed.
    """
    known = (*MODALITIES, EXTRACT)
    if modality not in known:
        raise CorpusError(f"no modality is named {modality!r}: known are {', '.join(known)}")
    if modality in ("text", EXTRACT):
        name = text_name(num_bytes, (_SOURCES[EXTRACT],) if modality == EXTRACT else _TEXTS)
        return Sample(modality, name, corpora.load(name))
    raw = _random_bytes(num_bytes) if modality == "random" else _shuffled(modality)
    if len(raw) < num_bytes:
        raise CorpusError(
            f"{modality} has {len(raw):,} bytes, expected {num_bytes:,}: ask for fewer"
        )
    return Sample(modality, f"{_SOURCES[modality]}@0+{num_bytes}", raw[:num_bytes])


def modality_of(name: str) -> str:
    """Returns the modality of a sample by its name; raises CorpusError if it is none of ours."""
    corpus = name.partition("@")[0]
    if corpus in _TEXTS:
        return "text"
    found = {source: modality for modality, source in _SOURCES.items()}.get(corpus)
    if found is None:
        raise CorpusError(f"{name} is not a sample of a modality: its record is of something else")
    return found


def text_name(num_bytes: int, names: Sequence[str] = _TEXTS) -> str:
    """Returns the name and range of the first text corpus that is long enough."""
    for name in names:
        if _TEXT_OFFSET + num_bytes <= corpora.info(name).raw_bytes:
            return f"{name}@{_TEXT_OFFSET}+{num_bytes}"
    raise CorpusError(
        f"no text has {num_bytes:,} bytes from offset {_TEXT_OFFSET:,}: ask for fewer"
    )


@functools.cache
def _shuffled(modality: str) -> bytes:
    pieces = list(_image_pieces() if modality == "images" else _speech_pieces())
    order = shuffled_order(len(pieces))
    return b"".join(pieces[i] for i in order)


def shuffled_order(count: int) -> npt.NDArray[np.int64]:
    """Returns a permutation of range(count), the same with every version of NumPy.

    Sorting by PCG64's raw output, whose stream NumPy promises to keep.
    """
    return np.argsort(np.random.PCG64(_SHUFFLE_SEED).random_raw(count), kind="stable")


def _random_bytes(num_bytes: int) -> bytes:
    words = np.random.PCG64(_RANDOM_SEED).random_raw(-(-num_bytes // 8))
    return np.asarray(words, "<u8").tobytes()[:num_bytes]


def _image_pieces() -> Iterator[bytes]:
    """Yields the patches of all pictures, 2,048 bytes each."""
    for name in corpora.names("kodak/"):
        yield from patches(grey_levels(corpora.load(name)))


def grey_levels(png: bytes) -> npt.NDArray[np.uint8]:
    """Returns a picture's luma, (rows, columns)."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


def patches(image: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """Yields the patches of a picture; what is left at its right and lower edge is left out."""
    for top in range(0, image.shape[0] - PATCH_ROWS + 1, PATCH_ROWS):
        for left in range(0, image.shape[1] - PATCH_COLUMNS + 1, PATCH_COLUMNS):
            yield image[top : top + PATCH_ROWS, left : left + PATCH_COLUMNS].tobytes()


def _speech_pieces() -> Iterator[bytes]:
    """Yields the whole pieces of all utterances, 2,048 bytes each."""
    for name in corpora.names("librispeech/"):
        raw = eight_bit(samples_of(corpora.load(name)))
        for start in range(0, len(raw) - CHUNK_BYTES + 1, CHUNK_BYTES):
            yield raw[start : start + CHUNK_BYTES]


def samples_of(recording: bytes) -> npt.NDArray[np.int16]:
    """Returns the 16-bit samples of a FLAC or WAV file, (n,).

    Raises:
      MissingDependencyError: If soundfile is not installed.
      CorpusError: If the recording is not 16-bit mono.
    """
    with needs_extra("paper", "speech", "soundfile"):
        import soundfile
    with soundfile.SoundFile(io.BytesIO(recording)) as file:
        if (file.channels, file.subtype) != (1, "PCM_16"):
            raise CorpusError(
                f"a recording has {file.channels} channels of {file.subtype}, expected 1 of "
                "PCM_16: convert it"
            )
        samples: npt.NDArray[np.int16] = file.read(dtype="int16")
    return samples


def eight_bit(samples: npt.NDArray[np.int16]) -> bytes:
    """Returns the upper 8 bits of each sample as an unsigned byte: silence is 128."""
    return ((samples >> 8) + 128).astype(np.uint8).tobytes()
