"""Ends of tokens by docs/adaptive.md, in plain Python; no code of the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tests.support.second_logistic import (
    COARSE,
    CONTEXTS,
    EDGES,
    GPT,
    INPUTS,
    LAST,
    LIMIT,
    ORDERS,
    SQUASH,
    TOTAL,
    clamp,
    falling,
    mixed_hash,
    moved_weights,
    new_map,
    new_weights,
    seen_bit,
    stretch,
    weighted,
)


class TokenPlace(Protocol):
    """What a lane has spelled of its token, and its contexts."""

    place: int
    spelled: int
    recent: int
    hashes: list[int]


class Decision(NamedTuple):
    """What was said of a token's end, and from what."""

    p: int
    inputs: list[int]
    counters: list[list[int]]
    cells: list[list[int]]
    weights: list[list[int]]
    dots: list[int]
    mixed: int
    maps: list[list[int]]
    nearest: int


class Ends:
    """Whether tokens end: the decisions of a round together."""

    def __init__(self) -> None:
        self.seen = 0
        self.counters: dict[tuple[int, int], list[int]] = {}
        self.counter_maps = [
            [[(2 * k + 1) * (TOTAL // 128), 6] for k in range(64)] * 11 for _ in range(CONTEXTS)
        ]
        self.counter_maps = [[list(cell) for cell in cells] for cells in self.counter_maps]
        self.mixers: dict[tuple[int, int], list[int]] = {}
        self.final = [16384] * 4
        self.maps: dict[tuple[int, int], list[int]] = {}

    def run(self, choices: Sequence[tuple[TokenPlace, int, int]]) -> list[tuple[int, int]]:
        """Returns each decision of lanes, with the model's opinion, and its probability."""
        self.rate = falling(60, 3, self.seen)
        self.seen += len(choices)
        said = [self.predict(lane, end) for lane, end, _ in choices]
        for decision, (_, _, y) in zip(said, choices, strict=True):
            self.learn(decision, y)
        return [
            (y, max(8, min(TOTAL - 8, decision.p)))
            for decision, (_, _, y) in zip(said, choices, strict=True)
        ]

    def predict(self, lane: TokenPlace, end: int) -> Decision:
        place, last = min(lane.place, 8) - 1, lane.recent & 255
        p = max(1, min(TOTAL - 1, end >> 2))
        gpt = stretch(p)
        inputs = [0] * INPUTS
        inputs[GPT : GPT + 2], inputs[LAST + 1] = (gpt, p - TOTAL // 2 >> 11), 256
        slots = [mixed_hash(h, place) % 2**18 for h in [*lane.hashes[:-1], lane.spelled]]
        counters = [
            self.counters.setdefault((j, slot), [TOTAL // 2, 0]) for j, slot in enumerate(slots)
        ]
        cells, hits = [], 0
        for j, (q, count) in enumerate(counters):
            cells.append(self.counter_maps[j][sum(count >= e for e in EDGES) * 64 + (q >> 16)])
            if count:
                sureness = (q - TOTAL // 2) * min(count, 24) >> 15
                inputs[3 * j : 3 * j + 2] = COARSE[cells[j][0] // 1024], sureness
                hits += j < len(ORDERS)
        sureness = (gpt + LIMIT) * 15 // (2 * LIMIT)
        sets = [
            place * 16 + sureness, min(place, 3) * 256 + last, sureness * 64 + last // 4,
            hits * 8 + place,
        ]  # fmt: skip
        weights = [
            self.mixers.setdefault((s, k), new_weights(58982, 1310)) for s, k in enumerate(sets)
        ]
        dots = [weighted(row, inputs) for row in weights]
        mixed = clamp(sum(d * f for d, f in zip(dots, self.final, strict=True)) >> 16)
        rows = [last, mixed_hash(lane.recent & 0xFFFFFF, place) & 0xFFFF, lane.spelled & 0xFFFF]
        maps = [self.maps.setdefault((k, row), new_map()) for k, row in enumerate(rows)]
        column, fraction = divmod(mixed + LIMIT + 1, 256)
        total = SQUASH[mixed]
        for row in maps:
            total += (row[column] * (256 - fraction) + row[column + 1] * fraction) // 256
        nearest = column + (fraction >= 128)
        return Decision(total >> 2, inputs, counters, cells, weights, dots, mixed, maps, nearest)

    def learn(self, said: Decision, y: int) -> None:
        target = TOTAL - 1 if y else 0
        error = (y << 22) - SQUASH[said.mixed]
        self.final[:] = [w + (d * error >> 21) for w, d in zip(self.final, said.dots, strict=True)]
        for weights, d in zip(said.weights, said.dots, strict=True):
            moved_weights(weights, said.inputs, d, y, self.rate)
        for row in said.maps:
            row[said.nearest] += target - row[said.nearest] >> 6
        for cell, counter in zip(said.cells, said.counters, strict=True):
            seen_bit(cell, y, 600)
            seen_bit(counter, y, 255)
