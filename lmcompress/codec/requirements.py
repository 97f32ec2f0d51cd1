"""What a frame's header stands for: model, context policy and prompt, found and checked."""

from __future__ import annotations

import dataclasses

from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.prompt import Prompt
from lmcompress.errors import CorruptFrameError, PromptNotFoundError, UnsupportedVersionError
from lmcompress.format.compact import PREFIX_BYTES, CompactHeader
from lmcompress.format.header import FrameHeader
from lmcompress.models.store import (
    BYTES,
    TOKENS,
    AnyModel,
    Model,
    load_model_of,
    load_model_with,
)

AnyHeader = FrameHeader | CompactHeader


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What it takes to decode a frame."""

    model: Model
    policy: ContextPolicy
    prompt: Prompt | None

    @classmethod
    def of(cls, header: AnyHeader, maker: AnyModel | None, prompt: Prompt | None) -> Recipe:
        """Finds what the header asks for.

        Args:
          header: Of a frame that has a coded segment.
          maker: A model to take instead of the one that the header leads to.
          prompt: The prompt at hand; the recipe has it if the header asks for it.

        Raises:
          UnsupportedVersionError: If the frame needs a newer lmcompress.
          PromptNotFoundError: If the prompt is not the one.
          ModelNotFoundError: If the model is not at hand.
          CorruptFrameError: If the model cannot follow the header's policy.
        """
        _check_supported(header)
        needed = prompt if _needs(header, prompt) else None
        if isinstance(header, CompactHeader):
            model = load_model_with(header.fingerprint, maker)
            return cls(model, ContextPolicy.of(model.weights), needed)
        model = load_model_of(header.model, header.fingerprint, maker)
        if header.tokenizer != model.tokenizer:
            raise CorruptFrameError(
                f"the file's symbols are {header.tokenizer}, those of model {model.name} are "
                f"{model.tokenizer}: the file is damaged"
            )
        return cls(model, _checked_policy(header, model), needed)


def frame_header(model: Model, policy: ContextPolicy, prompt: Prompt | None = None) -> FrameHeader:
    """Returns the header of files that a model makes."""
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    return FrameHeader(
        model=model.name,
        fingerprint=model.fingerprint,
        arithmetic_version=ARITHMETIC_VERSION,
        tokenizer=model.tokenizer,
        window=policy.window,
        overlap=policy.overlap,
        prompt_sha256=prompt.sha256 if prompt else b"",
        prompt_name=prompt.name if prompt else "",
    )


def compact_header(model: Model, prompt: Prompt | None = None) -> CompactHeader:
    """Returns the header of compact frames that a model makes."""
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    return CompactHeader(
        arithmetic_version=ARITHMETIC_VERSION,
        fingerprint=model.fingerprint[:PREFIX_BYTES],
        prompt_sha256=prompt.sha256[:PREFIX_BYTES] if prompt else b"",
    )


def _check_supported(header: AnyHeader) -> None:
    from lmcompress.gpt.quantization import ARITHMETIC_VERSION

    found: list[tuple[str, object, tuple[object, ...]]] = [
        ("arithmetic version", header.arithmetic_version, (ARITHMETIC_VERSION,))
    ]
    if isinstance(header, FrameHeader):
        found += [
            ("tokenizer", header.tokenizer, (BYTES, TOKENS)),
            ("coder precision", header.precision_bits, (24,)),
        ]
    for what, value, known in found:
        if value not in known:
            raise UnsupportedVersionError(
                f"the file uses {what} {value}, this lmcompress knows "
                f"{' and '.join(map(str, known))}: decompress it with a newer version"
            )


def _needs(header: AnyHeader, prompt: Prompt | None) -> bool:
    """Whether the header asks for a prompt; raises PromptNotFoundError if it is not this one."""
    wanted = header.prompt_sha256
    if not wanted or (prompt and prompt.sha256[: len(wanted)] == wanted):
        return bool(wanted)
    asked = f"a prompt whose SHA-256 begins with {wanted.hex()}"
    if isinstance(header, FrameHeader):
        asked = f"prompt {header.prompt_name} (SHA-256 {wanted.hex()})"
    found = f"found {prompt.name} ({prompt.sha256.hex()})" if prompt else "found none"
    raise PromptNotFoundError(
        f"the file was compressed with {asked}, {found}: give it with --prompt FILE"
    )


def _checked_policy(header: FrameHeader, model: Model) -> ContextPolicy:
    """Returns the header's policy; raises CorruptFrameError if the model cannot follow it."""
    policy = ContextPolicy(header.window, header.overlap)
    if model.weights is not None:
        shape = model.weights.config
        if policy.window > shape.context_length or not (policy.window or shape.streams):
            raise CorruptFrameError(
                f"window is {policy.window} tokens, the model's context is "
                f"{shape.context_length}: the file is damaged"
            )
    return policy
