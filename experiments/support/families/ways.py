"""The ways to code that are compared: a family, an order, and how many bytes at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from experiments.support.families import orders
from experiments.support.families.layout import (
    BLOCKS_OF_4,
    BLOCKS_OF_16,
    CAUSAL,
    ENCODER_DECODER,
    MASKED,
    PREFIX,
    Family,
)

LEFT_TO_RIGHT, RANDOM, SUREST = "left to right", "fixed, random", "lowest entropy first"
ORDERS = {
    LEFT_TO_RIGHT: orders.left_to_right,
    RANDOM: orders.fixed_random,
    SUREST: orders.lowest_entropy,
}


class Way(NamedTuple):
    """A family, and how its bytes are coded."""

    family: Family
    order: str = LEFT_TO_RIGHT
    at_once: int = 1
    """Bytes that are coded from one pass."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a record that say which way was measured."""
        return {"family": self.family.name, "order": self.order, "at once": self.at_once}


WAYS = (
    Way(CAUSAL),
    Way(PREFIX),
    Way(ENCODER_DECODER),
    Way(BLOCKS_OF_4),
    Way(BLOCKS_OF_4, SUREST),
    Way(BLOCKS_OF_16),
    Way(BLOCKS_OF_16, SUREST),
    Way(BLOCKS_OF_16, SUREST, 4),
    Way(MASKED),
    Way(MASKED, RANDOM),
    Way(MASKED, SUREST),
    Way(MASKED, SUREST, 4),
)
