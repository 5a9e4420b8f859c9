"""The scenario format as models, and the JSON merge patch (RFC 7396) its cases are written in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from domicile.model.schema import Age, Label, Model, Moment, ObjectName
from domicile.model.verdicts import Verdict
from domicile.model.workload import Basis


class CandidateRef(Model):
    """The candidate a scenario asks about."""

    cluster: ObjectName
    node_pool: Label


class CaseOptions(Model):
    """Wishes of the workload that change a verdict."""

    basis: Basis = Basis.CRITERIA
    require_union_citizens: bool = False
    max_evidence_age: Age | None = None
    waivers: list[str] = Field(default_factory=list)


class Case(Model):
    """One case: what differs from the baseline, and what must come out."""

    name: str
    note: str | None = None
    at: Moment | None = None
    subject: CandidateRef | None = None
    options: CaseOptions = Field(default_factory=CaseOptions)
    patch: dict[Annotated[str, Field(pattern=r"^[A-Za-z]+/[a-z0-9.-]+$")], Any] = Field(default_factory=dict)
    expect: dict[int, Verdict] = Field(default_factory=dict)
    expect_recognition: dict[int, Verdict] = Field(default_factory=dict)
    because: list[str] = Field(default_factory=list)


class ScenarioFile(Model):
    """A scenario file: a framework, an instant, a baseline, a candidate and cases."""

    framework: str = "cada"
    at: Moment
    baseline: list[str]
    subject: CandidateRef
    cases: list[Case]


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects merge, null removes, everything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
