"""The page of `explain`: its tables, what its script is told, and that nothing of a text runs."""

from __future__ import annotations

import base64
import gzip
import json
import re

import numpy as np
import pytest

from lmcompress import CodecConfig
from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.codec.costs import STORED, ByteCosts, byte_costs
from lmcompress.errors import LmcompressError
from lmcompress.models.store import Model
from lmcompress.report.explaining import page, summary
from lmcompress.report.explaining.packing import COST_STEPS, steps_of
from tests.report.test_page import Elements
from tests.support.command_line import TEXT

HOSTILE = (
    b"<script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp; </script><!-- "
    + "\u202etfel ot thgir\u202c \u2066iso\u2069 \u0000\ufeff".encode()
    + bytes(range(256))
)


def page_of(raw: bytes, *models: Model | str, name: str = "a.txt") -> tuple[str, list[ByteCosts]]:
    costs = [byte_costs(raw, model, CodecConfig(lanes=1)) for model in models]
    return page.build_page(name, costs), costs


def planes(built: str, count: int) -> list[bytes]:
    found = re.search(r'<script type="text/plain" id="data">([^<]*)</script>', built)
    assert found
    data = gzip.decompress(base64.b64decode(found[1]))
    assert len(data) % count == 0
    return [data[at : at + count] for at in range(0, len(data), count)]


def test_costs_on_the_page_add_up_to_the_payload(tiny_model: Model) -> None:
    raw = TEXT[:200] + b"Something else, which nobody expects. " * 2
    built, [costs] = page_of(raw, tiny_model)
    found = planes(built, len(raw))
    low, high = (np.frombuffer(plane, np.uint8).astype(int) for plane in found[2:4])
    total = (low + 256 * high).sum() / COST_STEPS

    assert found[0] == raw
    assert total == pytest.approx(costs.cost_bits, abs=1 / COST_STEPS)
    assert 0 <= 8 * costs.payload_bytes - total <= 64
    for figure in (costs.compressed_bytes, costs.payload_bytes, summary.xz_bytes(raw)):
        assert f"{figure:,}" in built


def test_every_part_of_a_text_keeps_its_sum_when_costs_are_rounded() -> None:
    bits = np.random.default_rng(1).exponential(0.1, 5000)
    steps = np.concatenate(([0], np.cumsum(steps_of(bits).astype(int))))

    assert (
        np.abs(steps / COST_STEPS - np.concatenate(([0], np.cumsum(bits)))).max()
        <= 0.5 / COST_STEPS
    )


@pytest.mark.parametrize("models", [("tiny",), ("tiny", "none")])
def test_nothing_of_a_hostile_text_becomes_markup(tiny_model: Model, models: tuple[str]) -> None:
    built, _ = page_of(HOSTILE, *models, name="<b onclick=x>\u202e\udcff.txt")
    elements = Elements(built)

    assert [tag for tag, _ in elements.found].count("script") == 3
    assert not {"img", "b onclick"} & {tag for tag, _ in elements.found}
    assert "alert(" not in built
    assert "\u202e" not in built
    assert "&lt;b onclick=x&gt;⟨U+202E⟩" in built
    [policy] = [v for v in elements.values("content") if "default-src" in v]
    assert "default-src 'none'" in policy
    assert not re.search(r"""(?:src|href)=["'](?!#)""", built)
    assert planes(built, len(HOSTILE))[0] == HOSTILE


def test_the_page_is_the_same_every_time(tiny_model: Model) -> None:
    assert page_of(TEXT, tiny_model)[0] == page_of(TEXT, tiny_model)[0]


def test_labels_and_ids_lead_somewhere(tiny_model: Model) -> None:
    elements = Elements(page_of(TEXT, tiny_model, "none")[0])
    ids = elements.values("id")

    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby"):
        assert set(elements.values(name)) <= set(ids)
    assert {link.removeprefix("#") for link in elements.values("href")} <= set(ids)


def test_tables_divide_all_bits(tiny_model: Model) -> None:
    costs = [byte_costs(HOSTILE + TEXT, name, CodecConfig(lanes=1)) for name in ("tiny", "none")]
    kinds = summary.kinds_of_bytes(costs)

    for k, one in enumerate(costs):
        assert sum(part.bits[k] for part in kinds) == pytest.approx(one.cost_bits)
        assert sum(part.num_bytes for part in summary.predictors(one)) == len(one.raw)
        assert sum(p.bits[0] for p in summary.predictors(one)) == pytest.approx(one.cost_bits)
    assert sum(part.num_bytes for part in kinds) == len(costs[0].raw)


def test_all_who_predict_are_listed(tiny_model: Model) -> None:
    with_network, without = (
        {part.name for part in summary.predictors(byte_costs(TEXT, name))}
        for name in ("tiny", "none")
    )

    assert with_network == set(SPEAKERS)
    assert without == set(SPEAKERS) - {"network"}


def test_what_the_network_alone_would_take_is_a_sum(tiny_model: Model) -> None:
    costs = byte_costs(TEXT, tiny_model)

    assert summary.network_bits(costs) == pytest.approx(costs.trace.model_bits.sum())
    assert summary.network_bits(byte_costs(TEXT, "none")) is None


def test_tokens_can_be_colored_only_where_there_are_some(
    tiny_model: Model, token_model: Model
) -> None:
    assert 'value="token"' in page_of(TEXT, token_model)[0]
    assert 'value="token"' not in page_of(TEXT, tiny_model)[0]


def test_words_are_counted_wherever_they_stand(tiny_model: Model) -> None:
    costs = [byte_costs(b"was it was; was_ was\xff", tiny_model)]

    words = {word.text: word for word in summary.expensive_words(costs)}

    assert {text: word.times for text, word in words.items()} == {
        "was": 2,
        "it": 1,
        "was_": 1,
        "was\\xff": 1,
    }
    assert words["was"].bits[0] == pytest.approx(
        costs[0].trace.bits[:3].sum() + costs[0].trace.bits[7:10].sum()
    )


def test_every_predictor_is_explained() -> None:
    assert set(page.SPEAKERS_SAY) == {*SPEAKERS, STORED}


def test_what_has_no_page_is_refused() -> None:
    with pytest.raises(LmcompressError, match="empty"):
        page.check_input(b"", "a.txt")
    with pytest.raises(LmcompressError, match="4,000,000 at most"):
        page.check_input(bytes(page.MAX_BYTES + 1), "a.txt")


def test_layout_names_models_safely(tiny_model: Model) -> None:
    built, _ = page_of(TEXT, tiny_model, "none")
    found = re.search(r'id="layout">([^<]*)</script>', built)
    assert found

    assert json.loads(found[1])["models"] == ["tiny", "none"]
