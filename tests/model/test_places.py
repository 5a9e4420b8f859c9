"""ISO 3166 codes, their European spellings, and territories made of them."""

from __future__ import annotations

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domicile.model.places import Territory, normalise, place_problem
from domicile.model.verdicts import Verdict
from domicile.tiers.location import TWICE_CODED, locate

S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED
FRENCH = Territory(
    "French",
    countries=frozenset({"FR", "GR", "CY", "DE"}),
    including=frozenset({"RE", "GB-NIR"}),
    excluding=frozenset({"NC", "FR-NC"}),
    undetermined=frozenset({"CY-06"}),
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("FR", S), ("FR-974", S), ("RE", S), ("NC", V), ("FR-NC", V), ("FR-IDF", S), ("BE", V), ("EL", S), ("GR", S),
        ("GR-69", S), ("EL-69", S), ("CY", S), ("CY-02", S), ("CY-06", U), ("GB", V), ("UK", V), ("GB-NIR", S),
        ("UK-NIR", S), ("US-DE", V), ("DE", S), ("EU", U), ("XK", U), ("ZZ", U), ("IC", U), ("FR-QQQ", U), ("XX-01", U),
    ],
)  # fmt: skip
def test_where(code: str, expected: Verdict) -> None:
    assert FRENCH.where(code) is expected


@pytest.mark.parametrize("code", ["EU", "XK", "XX", "ZZ", "AN", "FR-QQQ", "XX-01"])
def test_codes_that_iso_does_not_assign_are_named_with_a_remedy(code: str) -> None:
    assert code in str(place_problem(code))


@pytest.mark.parametrize("code", ["DK", "UK", "EL", "GB-NIR", "UK-NIR", "FR-974", "TW"])
def test_assigned_codes_are_no_problem(code: str) -> None:
    assert place_problem(code) is None


def test_an_empty_territory_holds_nothing() -> None:
    nowhere = Territory("Nowhere")
    assert {nowhere.where(c.alpha_2) for c in pycountry.countries} == {V}


@given(st.text(max_size=6))
def test_any_text_has_an_answer(code: str) -> None:
    assert FRENCH.where(code) in (S, U, V)
    assert normalise(normalise(code)) == normalise(code)


def test_places_with_two_codes_are_assigned_and_belong_to_the_country_they_are_part_of() -> None:
    for subdivision, code in TWICE_CODED.items():
        assert place_problem(subdivision) is None
        assert place_problem(code) is None


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ({"country": "FR"}, S),
        ({"country": "FR", "subdivision": "FR-NC"}, V),
        ({"country": "NC", "subdivision": "FR-NC"}, V),
        ({"country": "RE", "subdivision": "FR-974"}, S),
        ({"country": "RE", "subdivision": "FR-NC"}, U),
        ({"country": "FR", "subdivision": "DE-BE"}, U),
        ({"country": "UK", "subdivision": "GB-NIR"}, S),
        ({"country": "FR", "source": "label"}, U),
        ({"country": "US", "source": "label"}, U),
        ({"subdivision": "FR-IDF"}, U),
        ({}, U),
    ],
)
def test_locate(location: dict[str, str], expected: Verdict) -> None:
    verdict, shown = locate(FRENCH, location)
    assert verdict is expected
    assert shown
