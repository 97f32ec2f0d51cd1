"""Compression and decompression: bytes -> segments -> lanes -> range coder -> frame, and back.

A segment's symbols are cut into lanes, contiguous runs of nearly equal length that the model steps
through together. Symbols are coded step-major (step 0 of every lane, step 1 of every lane, ...), by
one range coder a segment, so lanes cost no bits of their own. The encoder asks for the weights of
many steps at once; the decoder, which must know a symbol before the next, asks for one. Symbols are
bytes (`byte_segments`) or tokens (`token_segments`), as the model has them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal

from lmcompress.codec.byte_segments import decode_segment, encode_segment
from lmcompress.codec.lanes import auto_lanes, auto_token_lanes, block_steps, token_block_steps
from lmcompress.codec.predictor import (
    ContextPolicy,
    new_predictor,
    new_token_predictor,
    resolve_device,
    resolve_threads,
)
from lmcompress.codec.prompt import Prompt, check_prompt, primer_of
from lmcompress.codec.requirements import Recipe, compact_header, frame_header
from lmcompress.codec.token_segments import decode_tokens, encode_tokens
from lmcompress.errors import CorruptFrameError, LmcompressError
from lmcompress.format.compact import PRECISION_BITS, CompactReader, CompactSegment, CompactWriter
from lmcompress.format.frame import (
    MAX_SEGMENT_BYTES,
    FrameReader,
    FrameWriter,
    Method,
    Segment,
    check_raw,
    raw_checksum,
    read_frames,
)
from lmcompress.format.wire import read_some, write_all
from lmcompress.models.store import NO_MODEL, AnyModel, Model
from lmcompress.range_coder import long_payload
from lmcompress.tokenizer.bpe import tokenizer_of

DEFAULT_SEGMENT_BYTES = 16 << 20
MAX_LANES = 4096
MAX_ESCAPED = 1 / 8
"""Share of bytes that tokens do not spell from which on a segment is no text, and is stored."""

Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """How to compress and decompress; for given lanes, device and threads change no bit."""

    lanes: int | Literal["auto"] = "auto"
    """Streams that the model steps through together: more are faster, fewer compress better.

    Automatic: by the size of the segment, and more of them on a GPU.
    """
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    adaptive: bool = True
    """Whether online models may learn from the segment; it is left out where it does not help."""
    prompt: Prompt | None = None
    """A text to read first; the decoder needs it too."""
    compact: bool = False
    """Whether to write a compact frame: some 20 bytes of header, no names, one segment."""
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.lanes != "auto" and not 1 <= self.lanes <= MAX_LANES:
            raise ValueError(f"lanes is {self.lanes}, expected 1 to {MAX_LANES} or auto")
        if not 1 <= self.segment_bytes <= MAX_SEGMENT_BYTES:
            raise ValueError(
                f"segment-bytes is {self.segment_bytes}, expected 1 to {MAX_SEGMENT_BYTES}"
            )

    def lanes_for(self, raw_bytes: int) -> int:
        """Returns the number of lanes for a segment of so many bytes."""
        if self.lanes == "auto":
            return auto_lanes(raw_bytes, resolve_device(self.device))
        return min(self.lanes, raw_bytes)

    def lanes_for_tokens(self, num_tokens: int) -> int:
        """Returns the number of lanes for a segment of so many tokens."""
        if self.lanes == "auto":
            return auto_token_lanes(num_tokens, resolve_device(self.device))
        return min(self.lanes, num_tokens)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a compression came to, in bytes."""

    raw_bytes: int
    payload_bytes: int
    compressed_bytes: int


@dataclasses.dataclass(frozen=True)
class _Coded:
    """What came of a segment."""

    method: Method
    lanes: int
    payload: bytes


class FrameCompressor:
    """Compresses segments one by one into a frame."""

    def __init__(self, sink: BinaryIO, model: Model, config: CodecConfig) -> None:
        """Writes a full frame's header at once; raises ValueError if nothing is to predict."""
        if model.weights is None and not config.adaptive:
            raise ValueError(f"model {NO_MODEL} without the adaptive stage: nothing would predict")
        check_prompt(config.prompt, model)
        self.config = config
        self._model, self._policy = model, ContextPolicy.of(model.weights)
        self._compact = compact_header(model, config.prompt) if config.compact else None
        self._writer: FrameWriter | CompactWriter
        if self._compact:
            self._writer = CompactWriter(sink, self._compact)
        else:
            self._writer = FrameWriter(sink, frame_header(model, self._policy, config.prompt))
        self._raw_bytes = self._payload_bytes = 0

    @property
    def piece_bytes(self) -> int:
        """Bytes to hand over at once, fewer only at the end.

        One more than a segment where there may be but one: what does not fit is refused before it
        is compressed.
        """
        return self.config.segment_bytes + (1 if self.config.compact else 0)

    def write_segment(self, raw: bytes, progress: Progress | None = None) -> None:
        """Compresses 1 to `piece_bytes` bytes as one segment.

        Raises:
          LmcompressError: If they are more than a compact frame holds.
        """
        if len(raw) > self.config.segment_bytes:
            raise LmcompressError(
                f"found more than {self.config.segment_bytes} bytes, a compact frame is one "
                "segment: compress without --compact, or with larger --segment-bytes"
            )
        coded = (self._encode_tokens if self._model.tokens else self._encode)(raw, progress)
        if coded is not None and self._is_smaller(coded, raw):
            checksum = raw_checksum(raw)
            self._writer.write_coded(len(raw), coded.lanes, coded.payload, checksum, coded.method)
            self._payload_bytes += len(coded.payload)
        else:
            self._writer.write_stored(raw)
            self._payload_bytes += len(raw)
        self._raw_bytes += len(raw)

    def _is_smaller(self, coded: _Coded, raw: bytes) -> bool:
        size = len(coded.payload)
        return size + (self._compact.overhead(coded.lanes, size) if self._compact else 0) < len(raw)

    def finish(self) -> Sizes:
        """Ends the frame."""
        self._writer.finish()
        return Sizes(self._raw_bytes, self._payload_bytes, self._writer.bytes_written)

    def _encode_tokens(self, raw: bytes, progress: Progress | None) -> _Coded | None:
        """Returns the payload of tokens, or None for what is not worth the model's time."""
        weights, table = self._model.weights, self._model.tokens
        assert weights is not None
        assert table is not None
        symbols = tokenizer_of(self._model.folder, table).encode(raw)
        if table.num_escaped(symbols) > MAX_ESCAPED * len(raw):
            return None
        lanes, threads = (
            self.config.lanes_for_tokens(len(symbols)),
            resolve_threads(self.config.threads),
        )
        block, device = token_block_steps(lanes, threads), resolve_device(self.config.device)
        predictor = new_token_predictor(weights, lanes, block, self._policy, device, threads)
        with contextlib.closing(predictor):
            payload = encode_tokens(
                symbols, predictor, lanes, block, progress, short=self.config.compact
            )
        return _Coded(Method.CODED, lanes, payload)

    def _encode(self, raw: bytes, progress: Progress | None) -> _Coded:
        """Returns what the method gives that has the shorter payload."""
        lanes = self.config.lanes_for(len(raw))
        weights, policy = self._model.weights, self._policy
        methods = [Method.CODED] if weights is not None else []
        methods += [Method.MIXED] if self.config.adaptive else []
        threads = resolve_threads(self.config.threads)
        device = resolve_device(self.config.device)
        block = block_steps(lanes, threads, device)
        prompt = self.config.prompt
        primer = primer_of(prompt, self._model, policy, device, threads) if prompt else None
        predictor = new_predictor(weights, lanes, block, policy, device, threads)
        try:
            payloads = encode_segment(
                raw, predictor, lanes, block, methods, progress, primer, short=self.config.compact
            )
            method, payload = min(zip(methods, payloads, strict=True), key=lambda p: len(p[1]))
            return _Coded(method, lanes, payload)
        finally:
            predictor.close()


def compress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
) -> Sizes:
    """Compresses all of `source` into one frame on `sink`; memory is that of one segment."""
    compressor = FrameCompressor(sink, model, config)
    while raw := _read_fully(source, compressor.piece_bytes):
        compressor.write_segment(raw, progress)
    return compressor.finish()


def decompress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    config: CodecConfig | None = None,
    model: AnyModel | None = None,
    progress: Progress | None = None,
) -> int:
    """Decompresses every frame of `source` into `sink`; returns the number of raw bytes.

    A segment is written only after its checksum was found right.

    Raises:
      CorruptFrameError: If anything is damaged; segments before the damage are on `sink`.
      ModelNotFoundError: If the model that made the file is not at hand.
      PromptNotFoundError: If the file was compressed with a prompt, and config has not that one.
    """
    raw_bytes = 0
    for raw in decompressed_segments(source, config or CodecConfig(), model, progress):
        write_all(sink, raw)
        raw_bytes += len(raw)
        del raw  # a segment is large: not to be kept while the next one is decoded
    return raw_bytes


def decompressed_segments(
    source: BinaryIO,
    config: CodecConfig,
    model: AnyModel | None = None,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yields the raw bytes of each segment of each frame, checked."""
    for reader in read_frames(source):
        yield from _decode_frame(reader, config, model, progress)


def _decode_frame(
    reader: FrameReader | CompactReader,
    config: CodecConfig,
    maker: AnyModel | None,
    progress: Progress | None,
) -> Iterator[bytes]:
    recipe = None
    for segment, payload in reader:
        if segment.method is Method.STORED:
            raw = payload
        else:
            recipe = recipe or Recipe.of(reader.header, maker, config.prompt)
            raw = _decode(segment, payload, recipe, config, progress)
        check_raw(segment, raw)
        yield raw
        del raw, payload


def _decode(
    segment: Segment | CompactSegment,
    payload: bytes,
    recipe: Recipe,
    config: CodecConfig,
    progress: Progress | None,
) -> bytes:
    if segment.lanes > MAX_LANES:
        raise CorruptFrameError(
            f"a segment has {segment.lanes} lanes, expected {MAX_LANES} at most"
        )
    is_short = isinstance(segment, CompactSegment)
    model, policy, prompt = recipe.model, recipe.policy, recipe.prompt
    device, threads = resolve_device(config.device), resolve_threads(config.threads)
    if model.tokens and model.weights:
        if segment.method is not Method.CODED:
            raise CorruptFrameError("a segment of tokens is mixed, expected coded: it is damaged")
        # Steps come one at a time, but an overlap is read in blocks.
        steps = min(policy.overlap, token_block_steps(segment.lanes, threads)) or 1
        args = model.weights, segment.lanes, steps, policy, device, threads
        with contextlib.closing(new_token_predictor(*args)) as tokens:
            return decode_tokens(
                payload, segment.raw_bytes, tokens, segment.lanes, progress, short=is_short
            )
    if isinstance(segment, CompactSegment):
        _check_size_of_bytes(segment)
        payload = long_payload(payload)
    primer = primer_of(prompt, model, policy, device, threads) if prompt else None
    # Steps come one at a time, but an overlap or a prompt's end is read in one go.
    max_steps = 64 if primer else min(policy.overlap, 64) or 1
    predictor = new_predictor(model.weights, segment.lanes, max_steps, policy, device, threads)
    try:
        return decode_segment(
            payload, segment.raw_bytes, predictor, segment.lanes, segment.method, progress, primer
        )
    finally:
        predictor.close()


def _check_size_of_bytes(segment: CompactSegment) -> None:
    """Raises CorruptFrameError if a compact frame's payload is too short for symbols of one byte.

    Its reader cannot tell: whether symbols are bytes or tokens is known with the model.
    """
    try:
        segment.check_payload(PRECISION_BITS)
    except ValueError as exc:
        raise CorruptFrameError(f"the compact frame is damaged: {exc}") from exc


def _read_fully(source: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, fewer only at the end; pipes give less than asked."""
    parts = []
    while size and (part := read_some(source, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
