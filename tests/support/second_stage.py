"""The adaptive stage of docs/adaptive.md in plain Python; no code of the package."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.support.second_ends import Ends
from tests.support.second_logistic import (
    COARSE,
    CONTEXTS,
    EDGES,
    GPT,
    INPUTS,
    LAST,
    LIMIT,
    MATCHES,
    MIN_MATCH,
    ORDERS,
    SHAPES,
    SQUASH,
    TOTAL,
    clamp,
    falling,
    is_letter,
    length_class,
    mixed_hash,
    moved_weights,
    new_map,
    new_weights,
    seen_bit,
    stretch,
    weighted,
)


class Lane:
    """One stream and what was said of its present bit."""

    def __init__(self, number: int, begin: int, end: int) -> None:
        self.number, self.begin, self.end = number, begin, end
        self.at = self.line = begin
        self.place = self.spelled = 0
        self.line_above, self.first, self.recent, self.word, self.word_before = -1, 0, 0, 0, 0
        self.fields = self.tag = self.opening = 0
        self.pointer, self.length, self.misses = [-1] * 3, [0] * 3, [0] * 3
        self.expected = [-1] * 3
        self.slots: list[Any] = [None] * 3


class Row(NamedTuple):
    """A byte of a round."""

    lane: int
    symbol: int
    freqs: Sequence[int]
    end: int
    is_end: bool


class SecondStage:
    """The stage of one segment."""

    def __init__(self, lengths: Sequence[int], is_large: bool = False) -> None:
        self.seen, self.ends = 0, Ends()
        self.first_rate, self.last_rate = (20, 2) if is_large else (80, 3)
        self.first_weights = (58982, 1310) if is_large else (52428, 2621)
        stops = list(itertools.accumulate(lengths))
        self.lanes = [
            Lane(i, stop - length, stop)
            for i, (length, stop) in enumerate(zip(lengths, stops, strict=True))
        ]
        self.history = [0] * stops[-1]
        size_bits = max(10, min(22, stops[-1].bit_length() + 1))
        self.buckets = 1 << size_bits
        self.checks = [0] * self.buckets
        self.counters = [[[0, 0] for _ in range(16)] for _ in range(self.buckets)]
        self.runs = [(0, 0)] * self.buckets
        self.run_maps = [[[TOTAL * 3 // 4, 6] for _ in range(128)] for _ in range(CONTEXTS)]
        self.index = [[-1] * (self.buckets // 2) for _ in range(3)]
        cells = [[(2 * k + 1) * (TOTAL // 128), 6] for k in range(64)] * 11
        self.counter_maps = [[list(cell) for cell in cells] for _ in range(CONTEXTS)]
        self.match_rates = [[TOTAL * 3 // 4] * 1024 for _ in range(3)]
        self.order_0 = [[TOTAL // 2, 0] for _ in range(256)]
        self.order_1 = [[[TOTAL // 2, 0] for _ in range(256)] for _ in range(256)]
        self.mixers: dict[tuple[int, int], list[int]] = {}
        self.finals: dict[tuple[int, int], list[int]] = {}
        self.maps: dict[tuple[int, int], list[int]] = {}

    def run(self, rounds: Sequence[Sequence[Row]]) -> list[tuple[int, int]]:
        """Returns each decision and the probability of a one."""
        found = []
        for rows in rounds:
            lanes = [self.lanes[row.lane] for row in rows]
            self.rate = falling(self.first_rate, self.last_rate, self.seen)
            self.seen += len(rows)
            for lane, row in zip(lanes, rows, strict=True):
                self.start_byte(lane, row.freqs)
            for bit in range(8):
                for lane in lanes:
                    self.prepare(lane, bit)
                ps = [self.predict(lane, bit) for lane in lanes]
                for lane, row, p in zip(lanes, rows, ps, strict=True):
                    y = row.symbol >> (7 - bit) & 1
                    found.append((y, p))
                    self.learn(lane, bit, y)
            self.end_bytes(lanes)
            found += self.end_tokens(lanes, rows)
        return found

    def end_tokens(self, lanes: Sequence[Lane], rows: Sequence[Row]) -> list[tuple[int, int]]:
        """Decides which tokens end, where that is open."""
        choices = [
            (lane, row) for lane, row in zip(lanes, rows, strict=True) if 0 < row.end < 2**24
        ]
        for lane, _ in choices:
            lane.hashes = self.context_hashes(lane)
        found = self.ends.run([(lane, row.end, int(row.is_end)) for lane, row in choices])
        for lane, row in zip(lanes, rows, strict=True):
            if row.is_end:
                lane.place = lane.spelled = 0
        return found

    def start_byte(self, lane: Lane, row: Sequence[int]) -> None:
        lane.c0, lane.low, lane.high, lane.cumulative = 1, 0, 256, [0]
        for weight in row:
            lane.cumulative.append(lane.cumulative[-1] + int(weight) + 1)
        lane.last = lane.recent & 255
        lane.hashes = self.context_hashes(lane)
        for m in range(3):
            at = lane.pointer[m]
            is_known = at >= 0 and at < self.lane_of(at).at
            lane.expected[m] = 256 | self.history[at] if is_known else -1

    def context_hashes(self, lane: Lane) -> list[int]:
        back = [lane.recent >> 8 * k & 255 for k in range(8)]
        above, beyond = self.above(lane, 0), self.above(lane, 1)
        bases = [mixed_hash(0, *back[:n]) for n in ORDERS]
        bases += [
            mixed_hash(lane.word, back[0]),
            mixed_hash(lane.word, lane.word_before),
            mixed_hash(lane.at - lane.line, above),
            mixed_hash(lane.first, lane.word, back[0]),
            mixed_hash(back[0], above, beyond, lane.fields),
            mixed_hash(lane.tag, lane.word, back[0]),
            self.shape(lane),
        ]
        hashes = [mixed_hash(h, j) for j, h in enumerate(bases)]
        return [mixed_hash(h, 0) for h in hashes] if lane.place else hashes

    def above(self, lane: Lane, ahead: int) -> int:
        position = lane.line_above + lane.at - lane.line + ahead
        return self.history[position] if lane.line_above >= 0 and position < lane.line else 0

    def shape(self, lane: Lane) -> int:
        newest = self.history[max(lane.begin, lane.at - 12) : lane.at]
        return mixed_hash(0, *(SHAPES.get(chr(c), c) for c in reversed(newest)))

    def lane_of(self, at: int) -> Lane:
        return [lane for lane in self.lanes if lane.begin <= at][-1]

    def prepare(self, lane: Lane, bit: int) -> None:
        """Match models, GPT, low orders; the choice of mixers and maps; where buckets lie."""
        lane.inputs = [0] * INPUTS
        lane.cell, lane.match_class = [-1] * 3, 0
        for m in range(3):
            expected = lane.expected[m]
            if expected < 0 or expected >> (8 - bit) != lane.c0:
                continue
            size, missed = length_class(lane.length[m]), (lane.misses[m] & 255).bit_count()
            lane.cell[m] = (size * 4 + min(missed, 3)) * 8 + bit
            p = self.match_rates[m][lane.cell[m]]
            sign = 1 if expected >> (7 - bit) & 1 else -1
            at = MATCHES + 2 * m
            lane.inputs[at : at + 2] = sign * stretch(p), sign * (p - TOTAL // 2 >> 10)
            if not lane.match_class:
                lane.match_class = 1 + min(size // 2, 14) + (15 if missed else 0)
        c, middle = lane.cumulative, (lane.low + lane.high) // 2
        p = (c[lane.high] - c[middle] << 22) // (c[lane.high] - c[lane.low])
        gpt = stretch(max(1, min(TOTAL - 1, p)))
        lane.inputs[GPT : GPT + 2] = gpt, p - TOTAL // 2 >> 11
        low = [self.order_1[lane.last][lane.c0][0], self.order_0[lane.c0][0]]
        lane.inputs[LAST:] = stretch(low[0]), 256, stretch(low[1])
        expected = next((lane.expected[m] & 255 for m in range(3) if lane.cell[m] >= 0), -1)
        sureness = (gpt + LIMIT) * 15 // (2 * LIMIT)
        lane.sets = [
            lane.c0 + 256 * min(lane.place, 3), lane.match_class * 8 + bit, lane.last * 8 + bit,
            (lane.recent >> 8 & 255) * 8 + bit, min(lane.at - lane.line, 255) * 8 + bit,
            min(lane.fields, 255) * 8 + bit, (expected + 1) * 8 + bit,
        ]  # fmt: skip
        lane.final_sets = [
            lane.c0, lane.match_class * 8 + bit, lane.last * 8 + bit,
            (expected + 1) * 8 + bit, sureness * 8 + bit,
        ]  # fmt: skip
        order_3 = mixed_hash(lane.recent & 0xFFFF, lane.recent >> 16 & 255, lane.c0)
        lane.rows = [lane.c0 | lane.last << 8, order_3 & 0xFFFF, lane.c0 | expected + 1 << 8]
        if bit in (0, 4):
            lane.probes = [mixed_hash(h, lane.c0) for h in lane.hashes]

    def predict(self, lane: Lane, bit: int) -> int:
        """Returns the probability of a one."""
        if bit == 0:
            lane.found = lane.firsts = [self.bucket(h) for h in lane.probes]
        if bit == 4:
            lane.found = [
                self.bucket(h, lane.c0, self.runs[first]) if self.runs[first][0] else None
                for h, first in zip(lane.probes, lane.firsts, strict=True)
            ]
        hits = 0
        lane.node = lane.c0 if bit < 4 else lane.c0 % 2 ** (bit - 4) + 2 ** (bit - 4)
        lane.cells, lane.run_cells = [], []
        for j in range(CONTEXTS):
            at = lane.found[j]
            p, count = (TOTAL // 2, 0) if at is None else self.counters[at][lane.node]
            lane.cells.append(sum(count >= edge for edge in EDGES) * 64 + (p >> 16))
            if count:
                mapped = self.counter_maps[j][lane.cells[j]][0]
                sureness = (p - TOTAL // 2) * min(count, 24) >> 15
                lane.inputs[3 * j : 3 * j + 2] = COARSE[mapped // 1024], sureness
                hits += j < len(ORDERS)
            length, byte = self.runs[lane.firsts[j]]
            lane.run_cells.append(None)
            if length and (256 | byte) >> (8 - bit) == lane.c0:
                y = byte >> (7 - bit) & 1
                cell = self.run_maps[j][min(length, 15) * 8 + bit]
                lane.run_cells[j] = y, cell
                lane.inputs[3 * j + 2] = COARSE[cell[0] // 1024] * (1 if y else -1)
        sets = [*lane.sets, hits * 8 + bit]
        lane.weights = [
            self.mixers.setdefault((s, k), new_weights(*self.first_weights))
            for s, k in enumerate(sets)
        ]
        lane.dots = [weighted(row, lane.inputs) for row in lane.weights]
        lane.final_weights = [
            self.finals.setdefault((f, k), [8192] * 8) for f, k in enumerate(lane.final_sets)
        ]
        lane.opinions = [
            clamp(sum(d * w for d, w in zip(lane.dots, row, strict=True)) >> 16)
            for row in lane.final_weights
        ]
        mixed = sum(lane.opinions) // 5
        lane.column, lane.fraction = divmod(mixed + LIMIT + 1, 256)
        total = SQUASH[mixed]
        for k in range(3):
            row = self.maps.setdefault((k, lane.rows[k]), new_map())
            left, right = row[lane.column : lane.column + 2]
            total += (left * (256 - lane.fraction) + right * lane.fraction) // 256
        return max(8, min(TOTAL - 8, total >> 2))

    def bucket(self, h: int, c0: int = 0, run: tuple[int, int] = (0, 0)) -> int:
        """Returns a bucket's place; a new one learns the rest of a run that begins with c0."""
        check, first = h >> 28 & 0xFFFF, h % self.buckets
        places = [first ^ k for k in range(4)]
        for at in places:
            if self.checks[at] == check:
                return at
        chosen = min(places, key=lambda at: self.counters[at][1][1])
        self.checks[chosen], self.runs[chosen] = check, (0, 0)
        self.counters[chosen] = [[TOTAL // 2, 0] for _ in range(16)]
        length, byte = run
        if length and 16 + (byte >> 4) == c0:
            node = 1
            for k in (3, 2, 1, 0):
                y = byte >> k & 1
                seen_bit(self.counters[chosen][node], y, 255)
                node = 2 * node + y
        return chosen

    def learn(self, lane: Lane, bit: int, y: int) -> None:
        target = TOTAL - 1 if y else 0
        for final, opinion in zip(lane.final_weights, lane.opinions, strict=True):
            error = (y << 22) - SQUASH[opinion]
            final[:] = [w + (d * error >> 21) for w, d in zip(final, lane.dots, strict=True)]
        for weights, d in zip(lane.weights, lane.dots, strict=True):
            moved_weights(weights, lane.inputs, d, y, self.rate)
        nearest = lane.column + (lane.fraction >= 128)
        for k in range(3):
            row = self.maps[k, lane.rows[k]]
            row[nearest] += target - row[nearest] >> 6
        seen_bit(self.order_1[lane.last][lane.c0], y, 255)
        seen_bit(self.order_0[lane.c0], y, 255)
        middle = (lane.low + lane.high) // 2
        lane.low, lane.high = (middle, lane.high) if y else (lane.low, middle)
        for m in range(3):
            if lane.cell[m] >= 0:
                is_right = (lane.expected[m] >> (7 - bit) & 1) == y
                rates = self.match_rates[m]
                rates[lane.cell[m]] += (TOTAL - 1 if is_right else 0) - rates[lane.cell[m]] >> 6
        for j in range(CONTEXTS):
            seen_bit(self.counter_maps[j][lane.cells[j]], y, 600)
            if lane.found[j] is not None:
                seen_bit(self.counters[lane.found[j]][lane.node], y, 255)
            if lane.run_cells[j]:
                expected, cell = lane.run_cells[j]
                seen_bit(cell, expected == y, 600)
        lane.c0 = lane.c0 * 2 + y

    def end_bytes(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            c = lane.c0 & 255
            self.history[lane.at] = c
            lane.recent = (lane.recent << 8 | c) % 2**64
            lane.place, lane.spelled = lane.place + 1, mixed_hash(lane.spelled, c)
            self.enter_run(lane, c)
            self.enter_word(lane, c)
            self.enter_tag(lane, c)
            lane.fields += not is_letter(c) and not chr(c).isdigit()
            if lane.at == lane.line:
                lane.first = c
            lane.at += 1
            if c == 10:
                lane.line_above, lane.line, lane.fields = lane.line, lane.at, 0
            for m, shortest in enumerate(MIN_MATCH):
                lane.slots[m] = None
                if lane.at - lane.begin >= shortest:
                    newest = self.history[lane.at - shortest : lane.at]
                    h = mixed_hash(0 if m else lane.number, *reversed(newest))
                    lane.slots[m] = h % (self.buckets // 2)
        for lane in lanes:
            for m in range(3):
                self.follow(lane, m)
                self.look_up(lane, m)

    def enter_run(self, lane: Lane, c: int) -> None:
        for first in lane.firsts:
            length, byte = self.runs[first]
            self.runs[first] = (min(length + 1, 255) if byte == c else 1), c

    def enter_word(self, lane: Lane, c: int) -> None:
        if 0xE3 <= c <= 0xE9:
            lane.word_before, lane.word = lane.word, mixed_hash(0, c)
        elif is_letter(c):
            lane.word = mixed_hash(lane.word, ord(chr(c).lower()) if c < 128 else c)
        elif lane.word:
            lane.word_before, lane.word = lane.word, 0

    def enter_tag(self, lane: Lane, c: int) -> None:
        if c == ord("<"):
            lane.opening = 1
        elif lane.opening and c in b" >":
            lane.tag, lane.opening = lane.opening, 0
        elif lane.opening:
            lane.opening = mixed_hash(lane.opening, c)

    def follow(self, lane: Lane, m: int) -> None:
        if lane.pointer[m] < 0:
            return
        lane.pointer[m] += 1
        is_right = lane.expected[m] == lane.c0
        lane.length[m] = lane.length[m] + 1 if is_right else 0
        lane.misses[m] = (lane.misses[m] << 1 | (not is_right)) & 0xFFFF
        is_lost = lane.expected[m] < 0 or lane.misses[m].bit_count() > 8
        if is_lost or lane.pointer[m] == self.lane_of(lane.pointer[m]).begin:
            lane.pointer[m], lane.length[m] = -1, 0

    def look_up(self, lane: Lane, m: int) -> None:
        slot, index = lane.slots[m], self.index[m]
        if slot is None:
            return
        found = index[slot]
        if found >= 0 and lane.length[m] < MIN_MATCH[m] + 2 and found != lane.pointer[m]:
            most = min(found - self.lane_of(found).begin, lane.at - lane.begin, 40)
            length = 0
            while length < most and (
                self.history[found - 1 - length] == self.history[lane.at - 1 - length]
            ):
                length += 1
            if length >= MIN_MATCH[m] and length > lane.length[m]:
                lane.pointer[m], lane.length[m], lane.misses[m] = found, length, 0
        if lane.at < lane.end:
            index[slot] = lane.at
