"""Compression and decompression: bytes -> segments -> lanes -> range coder -> frame, and back.

A segment's bytes are cut into lanes, contiguous runs of nearly equal length that the model steps
through together. Symbols are coded step-major (step 0 of every lane, step 1 of every lane, ...), by
one range coder a segment, so lanes cost no bits of their own. The encoder asks for the weights of
many steps at once; the decoder, which must know a symbol before the next, asks for one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.coding import RangeDecoder, RangeEncoder, Weights
from lmcompress.container import (
    MAX_SEGMENT_BYTES,
    FrameHeader,
    FrameReader,
    FrameWriter,
    Method,
    Segment,
    check_raw,
    raw_checksum,
    read_frames,
)
from lmcompress.errors import CorruptFrameError, UnsupportedVersionError
from lmcompress.lanes import LaneLayout, block_steps, segment_blocks
from lmcompress.model_store import AnyModel, Model, load_model_of
from lmcompress.predictor import (
    ContextPolicy,
    Predictor,
    gpt_predictor,
    resolve_device,
    resolve_threads,
)

DEFAULT_SEGMENT_BYTES = 16 << 20
MAX_LANES = 4096
AUTO_LANE_BYTES = 8192
"""Automatic lanes are at least this long: 0.13 % more bits on alice29.txt than with one lane."""
AUTO_MAX_LANES = 16
"""More lanes decode no faster on two cores: their keys and values no longer fit the cache."""

Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """How to compress and decompress; device and threads change no bit."""

    lanes: int | Literal["auto"] = "auto"
    """Streams that the model steps through together: more are faster, fewer compress better."""
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    adaptive: bool = True
    """Whether online models may learn from the segment; it is left out where it does not help."""
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
            return max(1, min(AUTO_MAX_LANES, raw_bytes // AUTO_LANE_BYTES))
        return min(self.lanes, raw_bytes)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a compression came to, in bytes."""

    raw_bytes: int
    payload_bytes: int
    compressed_bytes: int


class Stage(Protocol):
    """What stands between predictor and coder; new for each segment."""

    def encode(
        self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> None:
        """Encodes symbols (n,), step-major, under weights (steps, lanes, vocab_size)."""

    def decode(
        self, decoder: RangeDecoder, weights: Weights, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under weights (lanes, vocab_size)."""


class DirectStage:
    """Hands weights on as they are."""

    def encode(
        self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> None:
        """Encodes symbols (n,), step-major, under weights (steps, lanes, vocab_size)."""
        encoder.encode(symbols, weights.reshape(-1, weights.shape[-1])[: len(symbols)])

    def decode(
        self, decoder: RangeDecoder, weights: Weights, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under weights (lanes, vocab_size)."""
        return decoder.decode(weights[:active])


def new_stage(method: Method, layout: LaneLayout) -> Stage:
    """Returns the stage of a method that codes."""
    if method is Method.CODED:
        return DirectStage()
    from lmcompress.adaptive import AdaptiveStage

    return AdaptiveStage(layout.lanes, layout.steps)


def encode_segment(
    raw: bytes,
    predictor: Predictor,
    lanes: int,
    block: int,
    methods: Sequence[Method] = (Method.CODED,),
    progress: Progress | None = None,
) -> list[bytes]:
    """Returns one segment's payload for each method.

    The predictor must be new and have `lanes` lanes; the methods share what it predicts.

    Args:
      raw: At least `lanes` bytes.
      predictor: Gives the weights.
      lanes: Streams to cut the bytes into.
      block: Steps to ask the predictor for at once; changes speed only.
      methods: CODED, MIXED or both.
      progress: Called with the number of bytes done since its last call.
    """
    layout = LaneLayout(len(raw), lanes)
    coders = [(RangeEncoder(), new_stage(method, layout)) for method in methods]
    for tokens, symbols in segment_blocks(raw, lanes, block, predictor.bos_id):
        weights = predictor.predict(tokens)
        for encoder, stage in coders:
            stage.encode(encoder, symbols, weights)
        if progress:
            progress(len(symbols))
    return [encoder.payload() for encoder, _ in coders]


def decode_segment(
    payload: bytes,
    raw_bytes: int,
    predictor: Predictor,
    lanes: int,
    method: Method = Method.CODED,
    progress: Progress | None = None,
) -> bytes:
    """Inverts `encode_segment`; damage gives wrong bytes, which the caller's checksum finds."""
    layout, decoder = LaneLayout(raw_bytes, lanes), RangeDecoder(payload)
    stage = new_stage(method, layout)
    symbols = np.zeros((lanes, layout.steps), np.uint8)
    tokens = np.full((lanes, 1), predictor.bos_id, np.int64)
    for step in range(layout.steps):
        weights = predictor.predict(tokens)[0]
        count = lanes if step < layout.steps - 1 else layout.last_lanes
        decoded = stage.decode(decoder, weights, count)
        symbols[:count, step] = tokens[:count, 0] = decoded
        if progress:
            progress(count)
    return layout.join(symbols)


class FrameCompressor:
    """Compresses segments one by one into a frame."""

    def __init__(self, sink: BinaryIO, model: Model, config: CodecConfig) -> None:
        """Writes the frame's header at once."""
        self.config = config
        self._weights, self._policy = model.weights, ContextPolicy.of(model.weights)
        self._writer = FrameWriter(sink, frame_header(model, self._policy))
        self._raw_bytes = self._payload_bytes = 0

    def write_segment(self, raw: bytes, progress: Progress | None = None) -> None:
        """Compresses 1 to `config.segment_bytes` bytes as one segment."""
        lanes = self.config.lanes_for(len(raw))
        method, payload = self._encode(raw, lanes, progress)
        if len(payload) < len(raw):
            self._writer.write_coded(len(raw), lanes, payload, raw_checksum(raw), method)
        else:
            self._writer.write_stored(raw)
        self._raw_bytes += len(raw)
        self._payload_bytes += min(len(payload), len(raw))

    def finish(self) -> Sizes:
        """Ends the frame."""
        self._writer.finish()
        return Sizes(self._raw_bytes, self._payload_bytes, self._writer.bytes_written)

    def _encode(self, raw: bytes, lanes: int, progress: Progress | None) -> tuple[Method, bytes]:
        """Returns the method that gives the shorter payload, and the payload."""
        methods = [Method.CODED, Method.MIXED] if self.config.adaptive else [Method.CODED]
        threads = resolve_threads(self.config.threads)
        block = block_steps(lanes, threads)
        device = resolve_device(self.config.device)
        predictor = gpt_predictor(self._weights, lanes, block, self._policy, device, threads)
        try:
            payloads = encode_segment(raw, predictor, lanes, block, methods, progress)
            return min(zip(methods, payloads, strict=True), key=lambda pair: len(pair[1]))
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
    while raw := _read_fully(source, config.segment_bytes):
        compressor.write_segment(raw, progress)
    return compressor.finish()


def frame_header(model: Model, policy: ContextPolicy) -> FrameHeader:
    """Returns the header of files that a model makes."""
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    return FrameHeader(
        model=model.name,
        fingerprint=model.fingerprint,
        arithmetic_version=ARITHMETIC_VERSION,
        window=policy.window,
        overlap=policy.overlap,
    )


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
    """
    raw_bytes = 0
    for raw in decompressed_segments(source, config or CodecConfig(), model, progress):
        sink.write(raw)
        raw_bytes += len(raw)
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
    reader: FrameReader, config: CodecConfig, maker: AnyModel | None, progress: Progress | None
) -> Iterator[bytes]:
    header, model = reader.header, None
    for segment, payload in reader:
        if segment.method is Method.STORED:
            raw = payload
        else:
            if model is None:
                _check_supported(header)
                model = load_model_of(header.model, header.fingerprint, maker)
            raw = _decode(segment, payload, header, model, config, progress)
        check_raw(segment, raw)
        yield raw


def _check_supported(header: FrameHeader) -> None:
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    for what, found, expected in (
        ("arithmetic version", header.arithmetic_version, ARITHMETIC_VERSION),
        ("tokenizer", header.tokenizer, "bytes"),
        ("coder precision", header.precision_bits, 24),
    ):
        if found != expected:
            raise UnsupportedVersionError(
                f"the file uses {what} {found}, this lmcompress knows {expected}: "
                "decompress it with a newer version"
            )


def _decode(
    segment: Segment,
    payload: bytes,
    header: FrameHeader,
    model: Model,
    config: CodecConfig,
    progress: Progress | None,
) -> bytes:
    if segment.lanes > MAX_LANES:
        raise CorruptFrameError(
            f"a segment has {segment.lanes} lanes, expected {MAX_LANES} at most"
        )
    policy, shape = ContextPolicy(header.window, header.overlap), model.weights.config
    if policy.window > shape.context_length or not (policy.window or shape.streams):
        raise CorruptFrameError(
            f"window is {policy.window} tokens, the model's context is {shape.context_length}: "
            "the file is damaged"
        )
    # Steps come one at a time, but an overlap is read again in one go.
    max_steps = min(policy.overlap, 64) or 1
    predictor = gpt_predictor(
        model.weights, segment.lanes, max_steps, policy,
        resolve_device(config.device), resolve_threads(config.threads),
    )  # fmt: skip
    try:
        return decode_segment(
            payload, segment.raw_bytes, predictor, segment.lanes, segment.method, progress
        )
    finally:
        predictor.close()


def _read_fully(source: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, fewer only at the end; pipes give less than asked."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
