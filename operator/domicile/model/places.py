"""Countries and subdivisions of ISO 3166, and territories made of them.

A place is a code: ``FR`` (ISO 3166-1 alpha-2) or ``FR-974`` (ISO 3166-2). A territory answers
Satisfied (inside), Violated (outside) or Unknown for a place; a code that ISO does not assign is never inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import pycountry

from domicile.model.verdicts import Verdict

# Codes that European texts use for countries ISO 3166 spells differently.
EUROPEAN_SPELLING = {"UK": "GB", "EL": "GR"}
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)
SUBDIVISIONS = frozenset(subdivision.code for subdivision in pycountry.subdivisions)


@lru_cache(maxsize=8192)
def place_problem(code: str) -> str | None:
    """Why ``code`` is no place of ISO 3166-1 alpha-2 or 3166-2, with the remedy; None when it is one."""
    country, _, subdivision = normalise(code).partition("-")
    if country not in COUNTRIES:
        return f"{code} is not an ISO 3166-1 alpha-2 country code; use the two-letter code of the country"
    if subdivision and normalise(code) not in SUBDIVISIONS:
        return f"{code} is not an ISO 3166-2 code; leave the subdivision out or correct it"
    return None


@lru_cache(maxsize=8192)
def normalise(code: str) -> str:
    """ISO spelling of a code (``UK`` is ``GB``, ``EL`` is ``GR``)."""
    country, dash, subdivision = code.partition("-")
    return EUROPEAN_SPELLING.get(country, country) + dash + subdivision


@dataclass(frozen=True, slots=True)
class Territory:
    """A set of places: whole countries, places added to them and places taken out of them."""

    name: str
    countries: frozenset[str] = frozenset()
    including: frozenset[str] = frozenset()
    excluding: frozenset[str] = frozenset()
    undetermined: frozenset[str] = field(default=frozenset())

    def where(self, code: str) -> Verdict:
        """Satisfied inside, Violated outside, Unknown where the code is unassigned or the law undetermined."""
        if place_problem(code):
            return Verdict.UNKNOWN
        place = normalise(code)
        country = place.partition("-")[0]
        for spelling in (place, country):  # the more precise statement decides
            if spelling in self.undetermined:
                return Verdict.UNKNOWN
            if spelling in self.excluding:
                return Verdict.VIOLATED
            if spelling in self.including or spelling in self.countries:
                return Verdict.SATISFIED
        return Verdict.VIOLATED
