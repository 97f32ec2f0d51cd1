"""Each Triton kernel equals the reference's function, bit for bit, on random shapes."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lmcompress.gpt import constants, reference
from lmcompress.gpt.cuda import attention, kernels, matmul
from lmcompress.gpt.cuda.kernels import launch, launch_rows
from lmcompress.gpt.cuda.weights import norm_numerator
from lmcompress.gpt.tables import exp2_table
from tests.support.interpreted import DEVICE

RNG = np.random.default_rng(7)
WIDTHS = [1, 7, 64, 100]


def on_device(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE)


def floats(*shape: int, spread: float = 3.0) -> Tensor:
    """Returns float32 of many magnitudes, some of them zero."""
    values = RNG.standard_normal(shape) * 10.0 ** RNG.uniform(-spread, spread, shape)
    values[RNG.random(shape) < 0.1] = 0
    return on_device(values.astype(np.float32))


def int8s(*shape: int) -> Tensor:
    return on_device(RNG.integers(-127, 128, shape, np.int8))


@dataclasses.dataclass
class Sums:
    """What a product leaves: int32 sums, scales of rows and columns, biases."""

    sums: Tensor
    s: Tensor
    ws: Tensor
    bias: Tensor
    has_bias: bool

    @classmethod
    def of(cls, rows: int, width: int, *, bits: int = 8, has_bias: bool = False) -> Sums:
        digits, most = (1, 1 << 20) if bits == 8 else (2, 1 << 30)
        sums = on_device(RNG.integers(-most, most, (digits * rows, width), np.int32))
        return cls(
            sums,
            floats(rows, spread=1).abs() * 1e-3,
            floats(width, spread=1).abs() * 1e-3,
            floats(width, spread=1),
            has_bias,
        )

    @property
    def values(self) -> Tensor:
        low, *high = self.sums.long().split(len(self.s))
        total = low + 128 * high[0] if high else low
        y = (total.double().float() * self.s[:, None]) * self.ws
        return y + self.bias if self.has_bias else y

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        return self.sums, self.s, self.ws, self.bias


def table(bits: int) -> Tensor:
    return on_device(exp2_table(bits).astype(np.int32))


def block_of(width: int) -> int:
    return 1 << (width - 1).bit_length()


def levels_of(bits: int) -> dict[str, float]:
    levels = (1 << bits - 1) - 1
    return {"LEVELS": float(levels), "PER_LEVEL": constants.as_float32(1 / levels)}


def assert_quantized(q: Tensor, s: Tensor, x: Tensor, bits: int = 8) -> None:
    levels = levels_of(bits)
    expected, scale = reference.quantize(x, int(levels["LEVELS"]), levels["PER_LEVEL"])
    low, *high = q.float().split(len(s))
    assert torch.equal(low + 128 * high[0] if high else low, expected)
    assert torch.equal(s, scale[:, 0])


def quantized_like(rows: int, width: int, bits: int = 8) -> tuple[Tensor, Tensor]:
    digits = 1 if bits == 8 else 2
    return (
        torch.zeros(digits * rows, width, dtype=torch.int8, device=DEVICE),
        torch.zeros(rows, device=DEVICE),
    )


@pytest.fixture(autouse=True)
def _many_rows_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU with very many rows; the interpreter also gets through sooner."""
    monkeypatch.setattr(kernels, "PROGRAMS", 1)


BITS = pytest.mark.parametrize("bits", [8, 12, 14], ids=lambda bits: f"{bits} bits")


@BITS
@pytest.mark.parametrize("width", WIDTHS)
def test_quantize(width: int, bits: int) -> None:
    x = floats(5, width)
    x[1] = 0
    q, s = quantized_like(5, width, bits)

    launch_rows(kernels.quantize, 5, x, q, s, width, BLOCK=block_of(width), **levels_of(bits))

    assert_quantized(q, s, x, bits)


def test_ties_round_to_even() -> None:
    x = on_device(np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]], np.float32))
    q, s = quantized_like(1, 8)

    launch_rows(kernels.quantize, 1, x, q, s, 8, BLOCK=8, **levels_of(8))

    assert q.tolist() == [[127, 0, 2, 2, 0, -2, -2, 126]]


@pytest.mark.parametrize("rows_of_a_program", ["one", "several"])
@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm", "none"])
@pytest.mark.parametrize(("position", "gain", "bias"), [("pre", 0, 0), ("post", 1, 1)])
@pytest.mark.parametrize(
    ("widths", "bits"), [((2, 120), 8), ((600, 900), 8), ((2, 120), 12), ((600, 900), 12)]
)
def test_add_and_norm(
    widths: tuple[int, int],
    bits: int,
    norm: str,
    position: str,
    gain: bool,
    bias: bool,
    rows_of_a_program: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if rows_of_a_program == "one":
        monkeypatch.setattr(kernels, "PROGRAMS", 1 << 20)
    rows, width, eps = 3, int(RNG.integers(*widths)), 1e-5
    before, gains, biases = floats(rows, width), floats(width, spread=1), floats(width, spread=1)
    ended = Sums.of(rows, width, bits=bits, has_bias=bias)
    x, (q, _) = before.clone(), quantized_like(rows, width, bits)
    centred = norm == "layernorm"
    expected_x = before + ended.values
    y = expected_x
    if norm != "none":
        y = reference.integer_norm(expected_x, eps, centred=centred)
        y = y * gains if gain else y
        y = y + biases if bias else y
        expected_x = y if position == "post" else expected_x

    launch_rows(
        kernels.add, rows, *ended.arguments, x, q, gains, biases,
        torch.tensor([eps * width], dtype=torch.float64, device=DEVICE), width,
        BLOCK=block_of(width), HAS_SUM_BIAS=bias, NORM=norm != "none", CENTRED=centred,
        POST=norm != "none" and position == "post", HAS_GAIN=bool(gain), HAS_BIAS=bool(bias),
        NUMERATOR=norm_numerator(width), **levels_of(bits),
    )  # fmt: skip

    assert torch.equal(x, expected_x)
    assert_quantized(q, ended.s, y, bits)


@pytest.mark.parametrize("orders", [0, 2, 5])
@pytest.mark.parametrize(("learned", "bits"), [(False, 8), (True, 8), (True, 12)])
def test_embed(learned: bool, bits: int, orders: int) -> None:
    lanes, steps, width, clock = 2, 3, 50, 4
    token_q, position_q = int8s(20, width), int8s(16, width)
    token_s, position_s = floats(20, spread=1), floats(16, spread=1)
    tokens = on_device(RNG.integers(0, 20, lanes * steps))
    x, (q, s) = torch.zeros(lanes * steps, width, device=DEVICE), quantized_like(6, width, bits)
    ngrams = on_device(RNG.integers(0, 12, (lanes * steps, orders)))
    ngram_q, ngram_s = int8s(12, width // max(orders, 1)), floats(12, spread=1)
    expected = token_q[tokens].float() * token_s[tokens, None]
    if orders:
        expected = expected + (ngram_q[ngrams].float() * ngram_s[ngrams, None]).flatten(1)
    if learned:
        at = clock + torch.arange(steps, device=DEVICE).repeat(lanes)
        expected = expected + position_q[at].float() * position_s[at, None]

    launch_rows(
        kernels.embed, 6, tokens, torch.tensor([clock], device=DEVICE), token_q, token_s,
        position_q, position_s, ngrams, ngram_q, ngram_s, x, q, s, token_s, token_s,
        torch.tensor([1e-5 * width], dtype=torch.float64, device=DEVICE), steps, width, BLOCK=64,
        POSITIONS=learned, ORDERS=orders, NORM=True, CENTRED=False, POST=False, HAS_GAIN=False,
        HAS_BIAS=False, NUMERATOR=norm_numerator(width), **levels_of(bits),
    )  # fmt: skip

    assert torch.equal(x, expected)
    assert_quantized(q, s, reference.integer_norm(expected, 1e-5, centred=False), bits)


@BITS
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("activation", ["relu2", "gelu", "swiglu"])
def test_activate(activation: str, has_bias: bool, bits: int) -> None:
    rows, width = 4, int(RNG.integers(2, 120))
    up_width = 2 * width if activation == "swiglu" else width
    up = Sums.of(rows, up_width, bits=bits, has_bias=has_bias)
    q, _ = quantized_like(rows, width, bits)
    h = up.values
    if activation == "relu2":
        expected = h.clamp(min=0) * h.clamp(min=0)
    elif activation == "gelu":
        expected = reference.gelu(h)
    else:
        gate, value = h.chunk(2, dim=-1)
        expected = (gate * reference.sigmoid(gate)) * value
    kind = getattr(kernels, activation.upper()).value

    launch_rows(
        kernels.activate, rows, *up.arguments, table(constants.LOGIT_SCALE_BITS), q, width,
        BLOCK=block_of(width), ACTIVATION=kind, HAS_BIAS=has_bias, **levels_of(bits),
    )  # fmt: skip

    assert_quantized(q, up.s, expected, bits)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("vocab_size", [2, 256, 300])
def test_frequencies(vocab_size: int, bits: int) -> None:
    lanes, steps = 2, 3
    head = Sums.of(lanes * steps, vocab_size, bits=bits)
    head.sums[:: lanes * steps] = 7  # all as likely: the first gets the remainder
    head.s[1] *= 1e6  # far apart: most are impossible
    out = torch.zeros(steps, lanes, vocab_size, device=DEVICE)
    expected = reference.integer_softmax(head.values).view(lanes, steps, -1).transpose(0, 1)

    launch_rows(
        kernels.frequencies, lanes * steps, head.sums, head.s, head.ws,
        table(constants.LOGIT_SCALE_BITS), out, lanes, steps, vocab_size, BLOCK=min(64, vocab_size),
        LEVELS=levels_of(bits)["LEVELS"],
    )  # fmt: skip

    assert torch.equal(out.long(), expected)


@pytest.mark.parametrize(
    ("n_head", "n_kv_head", "D", "unit", "rotary", "has_bias", "bits"),
    [
        (3, 3, 6, True, True, True, 8),
        (4, 2, 32, False, True, False, 8),
        (2, 1, 10, False, False, True, 8),
        (3, 1, 64, False, True, True, 12),
    ],
)
def test_split(
    n_head: int, n_kv_head: int, D: int, unit: bool, rotary: bool, has_bias: bool, bits: int
) -> None:
    lanes, steps, capacity, period, clock = 2, 3, 5, 8, 13
    width = (n_head + 2 * n_kv_head) * D
    qkv = Sums.of(lanes * steps, width, bits=bits, has_bias=has_bias)
    angles = RNG.uniform(0, 6.3, (period, D // 2))
    cos, sin = (on_device(np.round(f(angles) * 2**14).astype(np.float32) * np.float32(2.0**-14))
                for f in (np.cos, np.sin))  # fmt: skip
    queries = torch.zeros(lanes * steps, n_head, D, dtype=torch.int8, device=DEVICE)
    rings = [torch.zeros(lanes, n_kv_head, capacity, D, device=DEVICE) for _ in range(2)]
    k, v = (ring.to(torch.int8) for ring in rings)
    ks, vs = (ring[..., 0].clone() for ring in rings)
    query_scales = torch.zeros(lanes * steps, n_head, device=DEVICE)

    launch_rows(
        attention.split, lanes * steps, *qkv.arguments, torch.tensor([clock], device=DEVICE),
        cos, sin, torch.tensor([1e-5 * D], dtype=torch.float64, device=DEVICE), queries,
        query_scales, k, ks, v, vs, steps, capacity, period, width, HEADS=n_head,
        KV_HEADS=n_kv_head, D=D, HEAD_BLOCK=block_of(n_head), KV_BLOCK=block_of(n_kv_head),
        HALF_BLOCK=block_of(D // 2), BLOCK=2 * block_of(n_head) * block_of(D // 2),
        HAS_BIAS=has_bias, UNIT=unit, ROTARY=rotary, NUMERATOR=norm_numerator(D), QUERY_SCALE=0.75,
        LEVELS=levels_of(bits)["LEVELS"],
    )  # fmt: skip

    heads = qkv.values.view(lanes, steps, -1, D).transpose(1, 2)
    parts = list(heads.split((n_head, n_kv_head, n_kv_head), dim=1))
    if unit:
        parts[:2] = (reference.integer_norm(x, 1e-5, centred=False) for x in parts[:2])
    positions = clock + torch.arange(steps, device=DEVICE)
    if rotary:
        parts[:2] = (reference._rotate(x, positions, (cos, sin)) for x in parts[:2])
    (q, q_scale), (key, key_scale), (value, value_scale) = map(reference.quantize, parts)
    assert torch.equal(queries.view(lanes, steps, n_head, D).transpose(1, 2).float(), q)
    found_scales = query_scales.view(lanes, steps, n_head).transpose(1, 2)
    assert torch.equal(found_scales, q_scale[..., 0] * 0.75)
    slots = positions % capacity
    assert torch.equal(k[:, :, slots].float(), key)
    assert torch.equal(ks[:, :, slots], key_scale[..., 0])
    assert torch.equal(v[:, :, slots].float(), value)
    assert torch.equal(vs[:, :, slots], value_scale[..., 0])


@pytest.mark.parametrize(
    ("steps", "clock", "window", "capacity", "n_head", "n_kv_head", "D"),
    [
        (1, 0, 9, 9, 2, 2, 32),  # the first token
        (1, 100, 9, 12, 3, 1, 6),  # a ring that has gone round; a group that is no power of two
        (5, 100, 40, 44, 2, 2, 10),  # a band; more keys than a block of 16 holds
        (20, 3, 64, 84, 4, 2, 16),  # full attention in two tiles
    ],
)
def test_attend(
    steps: int, clock: int, window: int, capacity: int, n_head: int, n_kv_head: int, D: int
) -> None:
    lanes, group = 2, n_head // n_kv_head
    q = floats(lanes, n_head, steps, D, spread=0.5)
    k, v = (int8s(lanes, n_kv_head, capacity, D) for _ in range(2))
    ks, vs = (floats(lanes, n_kv_head, capacity, spread=1).abs() * 0.05 for _ in range(2))
    levels, scale = reference.quantize(q)
    queries = levels.transpose(1, 2).reshape(lanes * steps, n_head, D).to(torch.int8)
    factor = constants.as_float32(constants.EXPONENT_PER_NAT / math.sqrt(D))
    query_scales = (scale[..., 0] * factor).transpose(1, 2).reshape(lanes * steps, n_head)
    out = torch.zeros(lanes * steps, n_head, D, device=DEVICE)
    block_t = max(1, 16 // block_of(group))
    tiles = -(-steps // block_t)

    launch(
        attention.attend, (tiles * n_kv_head * lanes,), queries.contiguous(),
        query_scales.contiguous(), k, ks, v, vs, torch.tensor([clock], device=DEVICE),
        table(constants.ATTENTION_SCALE_BITS), out, steps, window, capacity, tiles, HEADS=n_head,
        KV_HEADS=n_kv_head, D=D, BLOCK_T=block_t, GROUP_BLOCK=block_of(group), BLOCK_S=32,
        BLOCK_D=32,
    )  # fmt: skip

    oldest = max(0, clock - window + 1)
    positions = torch.arange(oldest, clock + steps, device=DEVICE)
    distance = clock + torch.arange(steps, device=DEVICE)[:, None] - positions
    seen = (distance >= 0) & (distance < window)
    slots = positions % capacity
    keys, key_scales, values, value_scales = (
        x[:, :, slots].repeat_interleave(group, dim=1)
        for x in (k.float(), ks[..., None], v.float(), vs[..., None])
    )
    expected = reference.integer_attention(q, keys, key_scales, values, value_scales, seen)
    assert torch.equal(out.view(lanes, steps, n_head, D).transpose(1, 2), expected)


SHAPES = list(itertools.product([1, 17, 130], [8, 70], [1, 64, 100]))


@pytest.mark.parametrize("product", [matmul.triton_product, matmul.float_product])
def test_products_are_exact(product: matmul.Product) -> None:
    for rows, width, depth in SHAPES:
        q, weight = int8s(rows, depth), int8s(width, depth)
        out = torch.zeros(rows, width, dtype=torch.int32, device=DEVICE)

        product(q, weight, out)

        expected = q.cpu().long() @ weight.cpu().long().T
        assert torch.equal(out.cpu().long(), expected), (rows, width, depth)


@pytest.mark.parametrize(
    ("rows", "width", "tile"),
    [(1, 49_152, (16, 64)), (256, 768, (64, 32)), (8192, 1024, (128, 128)), (3, 64, (16, 32))],
)
def test_small_products_have_smaller_tiles(rows: int, width: int, tile: tuple[int, int]) -> None:
    assert matmul._tile(rows, width) == tile


def test_float_products_stay_exact_beyond_one_piece_and_under_autocast() -> None:
    q = torch.full((2, 3000), 127, dtype=torch.int8, device=DEVICE)
    q[1] = -127
    weight = torch.full((4, 3000), 127, dtype=torch.int8, device=DEVICE)
    out = torch.zeros(2, 4, dtype=torch.int32, device=DEVICE)

    with torch.autocast(DEVICE, torch.bfloat16):
        matmul.float_product(q, weight, out)

    assert out.unique(dim=1).flatten().tolist() == [127 * 127 * 3000, -127 * 127 * 3000]


def _saturating(q: Tensor, weight: Tensor, out: Tensor) -> None:
    """What processors without VNNI do: q + 128 is unsigned, pairs of products stay in 16 bits."""
    products = (q.int() + 128)[:, None] * weight.int()
    pairs = products.unflatten(-1, (-1, 2)).sum(-1).clamp(-(1 << 15), (1 << 15) - 1)
    out.copy_(pairs.sum(-1) - 128 * weight.int().sum(-1))


def test_a_product_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device(DEVICE)
    monkeypatch.setattr(matmul, "triton_product", _saturating)
    monkeypatch.setattr(matmul, "cublas_product", _saturating)
    choose = matmul.product_for.__wrapped__

    assert not matmul.is_exact(_saturating, 20, 16, 64, device)
    assert choose(20, 16, 64, device) is matmul.float_product


def test_a_product_that_cannot_run_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Tensor) -> None:
        raise RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED")

    monkeypatch.setattr(matmul, "triton_product", unsupported)
    choose = matmul.product_for.__wrapped__

    assert choose(20, 16, 64, torch.device(DEVICE)) is matmul.float_product
