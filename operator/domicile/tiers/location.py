"""A place against a territory: a code, or a location with country, subdivision and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domicile.model.places import Territory, normalise, place_problem
from domicile.model.verdicts import Verdict

TWICE_CODED = {
    "FR-971": "GP", "FR-972": "MQ", "FR-973": "GF", "FR-974": "RE", "FR-976": "YT", "FR-BL": "BL", "FR-MF": "MF",
    "FR-NC": "NC", "FR-PF": "PF", "FR-PM": "PM", "FR-TF": "TF", "FR-WF": "WF", "FI-01": "AX", "NL-AW": "AW",
    "NL-CW": "CW", "NL-SX": "SX", "NL-BQ1": "BQ", "NL-BQ2": "BQ", "NL-BQ3": "BQ", "NO-21": "SJ", "NO-22": "SJ",
    "US-AS": "AS", "US-GU": "GU", "US-MP": "MP", "US-PR": "PR", "US-UM": "UM", "US-VI": "VI", "CN-HK": "HK",
    "CN-MO": "MO", "CN-TW": "TW",
}  # fmt: skip
"""Places ISO 3166 lists twice: as a subdivision of a country and under an alpha-2 code of their own."""


def locate(territory: Territory, value: Any) -> tuple[Verdict, str]:
    """Whether a place lies inside, and how to show it. The more precise statement decides; a contradiction, or a
    location on a node label's word, is Unknown."""
    if not isinstance(value, Mapping):
        return territory.where(str(value)), place_problem(str(value)) or str(value)
    country, subdivision = value.get("country"), value.get("subdivision")
    if country is None:
        return Verdict.UNKNOWN, "country not stated"
    if value.get("source") == "label":
        return Verdict.UNKNOWN, f"{country} on a node label's word only"
    if subdivision is None:
        return territory.where(country), place_problem(country) or country
    parent, own = normalise(subdivision).partition("-")[0], TWICE_CODED.get(normalise(subdivision))
    if normalise(country) not in (parent, own):
        return Verdict.UNKNOWN, f"contradictory: country {country}, subdivision {subdivision}"
    problem = place_problem(country) or place_problem(subdivision)
    return territory.where(subdivision), problem or f"{country} ({subdivision})"
