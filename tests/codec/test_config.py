"""Settings of the codec."""

from __future__ import annotations

import pytest

from lmcompress import CodecConfig


@pytest.mark.parametrize(
    "values",
    [
        {"lanes": 0}, {"lanes": 5000}, {"lanes": "8"}, {"lanes": 2.5}, {"lanes": None},
        {"segment_bytes": 0}, {"segment_bytes": 1 << 31}, {"segment_bytes": "64K"},
        {"threads": 0}, {"threads": "2"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused(values: dict) -> None:
    [(name, value)] = values.items()

    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected"):
        CodecConfig(**values)
