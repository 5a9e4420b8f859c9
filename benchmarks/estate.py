"""A synthetic inventory in the shapes of the test baseline: realistic mixture, every seed the same bytes.

A few dozen legal entities are shared by all clusters: providers with a holding above them, operators of buildings,
support vendors. About 40 percent of the candidates satisfy level 3; the others miss one rule, are foreign-owned,
stand abroad, or leave facts open.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec

BASELINE = Path(__file__).resolve().parent.parent / "tests" / "scenarios" / "baseline.yaml"
AT = datetime(2026, 11, 2, tzinfo=UTC)
"""The instant of all decisions: the baseline's evidence is fresh then."""

UNION = ("DK", "DE", "FR", "NL", "SE", "FI", "IE", "PL", "ES", "IT")
ABROAD = ("US", "CH", "GB", "IN")
ACCELERATORS = (("H100", "80Gi"), ("H200", "141Gi"), ("A100", "80Gi"), ("MI300X", "192Gi"), ("L40S", "48Gi"))
PROVIDERS, HOLDINGS, HALLS, VENDORS = 36, 8, 8, 6
COMPONENTS = ("orchestrator", "container-runtime", "cni", "gpu-driver", "operating-system")

Document = dict[str, Any]
Flaw = Callable[[Document], None]


@dataclass(frozen=True)
class Estate:
    """Specs by name, as the operator would read them."""

    entities: dict[str, LegalEntitySpec]
    clusters: dict[str, SovereignClusterSpec]


def build(clusters: int, pools: int, *, seed: int) -> Estate:
    """``clusters`` clusters of ``pools`` node pools each."""
    entity, cluster = (document["spec"] for document in yaml.safe_load_all(BASELINE.read_text()))
    rng = random.Random(seed)
    return Estate(
        {name: LegalEntitySpec.model_validate(doc) for name, doc in _entities(entity, rng).items()},
        {
            f"cluster-{n:05}": SovereignClusterSpec.model_validate(_cluster(cluster, pools, rng))
            for n in range(clusters)
        },
    )


def with_flaw(spec: SovereignClusterSpec) -> SovereignClusterSpec:
    """The same cluster with one fact changed: backups go abroad, or come back."""
    doc = spec.plain()
    abroad = doc["facts"].get("backups") == {"countries": ["US"]}
    doc["facts"]["backups"] = {"countries": ["DE" if abroad else "US"]}
    return SovereignClusterSpec.model_validate(doc)


def cleared(spec: LegalEntitySpec) -> LegalEntitySpec:
    """The same entity with its personnel's clearance changed, which counts from level 3 up."""
    doc = spec.plain()
    personnel = doc.setdefault("personnel", {})
    personnel["clearance"] = "missing" if personnel.get("clearance") == "held" else "held"
    return LegalEntitySpec.model_validate(doc)


# -- entities --------------------------------------------------------------------------------------------------------


def _entities(base: Document, rng: random.Random) -> dict[str, Document]:
    found = {f"holding-{n}": _seated(base, rng.choice(UNION)) for n in range(HOLDINGS)}
    found |= {f"hall-{n}": _seated(base, rng.choice(UNION)) for n in range(HALLS)}
    found |= {f"vendor-{n}": _seated(base, rng.choice(UNION)) for n in range(VENDORS)}
    return found | {f"provider-{n}": _provider(base, n, rng) for n in range(PROVIDERS)}


def _seated(base: Document, country: str) -> Document:
    doc = copy.deepcopy(base)
    doc["seats"] = dict.fromkeys(doc["seats"], country)
    doc["personnel"]["countries"] = doc["management"]["countries"] = [country]
    for direction in ("initiatedFrom", "performedFrom", "adminPaths"):
        doc["support"][direction] = [country]
    return doc


def _provider(base: Document, number: int, rng: random.Random) -> Document:
    """Seven of ten are sound; the others are foreign, unclear, or miss one rule."""
    doc = _seated(base, rng.choice(UNION))
    doc["ownership"]["owners"][0] = {
        "entity": f"holding-{number % HOLDINGS}",
        "capitalPercent": 85,
        "votesPercent": 85,
        "specialRights": [],
    }
    doc["support"]["outsourcedTo"] = [f"vendor-{number % VENDORS}"]
    doc["subsidiaries"] = [_subsidiary(country) for country in rng.sample(ABROAD, number % 3)]
    match number % 10:
        case 7:
            parent = {"name": "Parent Inc", "kind": "company", "country": "US"}
            doc["control"] = {"conclusion": "sole", "controllers": [parent], "determinedBy": "revisor"}
        case 8:
            del doc["control"], doc["ownership"]
        case 9:
            doc["personnel"]["clearance"] = "missing"
    return doc


def _subsidiary(country: str) -> Document:
    apart = ("legalSeparation", "technicalSeparation", "organisationalSeparation", "requestsRedirected")
    open_to = ("dataAccess", "privilegedAccounts", "instructionRights")
    return {"name": f"Sky {country}", "country": country, **dict.fromkeys(apart, True), **dict.fromkeys(open_to, False)}


# -- clusters --------------------------------------------------------------------------------------------------------


def _cluster(base: Document, pools: int, rng: random.Random) -> Document:
    doc = copy.deepcopy(base)
    country = rng.choice(UNION)
    provider, hall = f"provider-{rng.randrange(PROVIDERS)}", f"hall-{rng.randrange(HALLS)}"
    doc["provider"] = provider
    doc["subcontractors"] = [{"entity": hall, "directContract": True, "functions": ["colocation"]}]
    _place(doc["facts"], country)
    component = doc["facts"]["components"][0]
    doc["facts"]["components"] = [{**component, "name": name, "supplierCountry": country} for name in COMPONENTS]
    doc["facts"]["telemetry"]["sinks"] = [{"endpoint": "metrics.example.eu", "country": country, "operator": provider}]
    doc["facts"]["externalServices"] = [
        {"name": "attestation", "purpose": "attestationVerifier", "country": country, "receivesGeneratedData": False}
    ]
    doc["nodePools"] = [_pool(number, provider, hall, country, rng) for number in range(pools)]
    if rng.random() < 0.4:
        rng.choice(FLAWS)(doc["facts"])
    return doc


def _place(facts: Document, country: str) -> None:
    facts["location"] = {"country": country, "source": "attested"}
    for group in facts.values():
        if isinstance(group, dict) and "countries" in group:
            group["countries"] = [country]


def _pool(number: int, provider: str, hall: str, country: str, rng: random.Random) -> Document:
    product, memory = ACCELERATORS[number % len(ACCELERATORS)]
    pool: Document = {
        "name": f"pool-{number}",
        "provider": provider,
        "facility": {"operator": hall, "owner": hall, "model": "colocation"},
        "nodes": {"providerIDPrefix": f"sky://{number}/"},
        "accelerator": {"product": product, "memory": memory},
    }
    if rng.random() < 0.2:
        pool["facts"] = {"location": {"country": rng.choice((*UNION, *ABROAD)), "source": "attested"}}
    return pool


def _set(group: str, field: str, value: Any) -> Flaw:
    def change(facts: Document) -> None:
        facts[group] = {**facts[group], field: value}

    return change


def _open(group: str) -> Flaw:
    def change(facts: Document) -> None:
        facts.pop(group, None)

    return change


def _abroad(facts: Document) -> None:
    _place(facts, "US")


FLAWS: tuple[Flaw, ...] = (
    _set("backups", "countries", ["US"]),
    _set("telemetry", "runtimeDefaultsOff", False),
    _set("sbom", "generated", "2024-01-01"),
    _set("dataUse", "noSecondaryUse", False),
    _set("egress", "default", "allow"),
    _open("keys"),
    _open("sbom"),
    _open("certificates"),
    _abroad,
    _abroad,
)
