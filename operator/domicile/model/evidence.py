"""Evidence: who vouches for which group of facts, how strongly and until when (Annex III, Art. 19 and 20)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from domicile.model.schema import Line, Model, Moment, ObjectName
from domicile.model.verdicts import EvidenceClass


class EvidenceStatus(StrEnum):
    """Life of an attestation. Only ``active`` counts; ``revoked`` counts against the fact (Art. 17(11), 20(7))."""

    ACTIVE = "active"
    DRAFT = "draft"
    UNDER_REVIEW = "underReview"
    OBJECTED = "objected"
    REVOKED = "revoked"


class Assertion(Model):
    """A value the document itself states. Where the object declares another, the fact is contradictory: Unknown."""

    fact: Annotated[str, StringConstraints(max_length=128)] = Field(description="Path of the fact, location.country")
    value: Line = Field(description="The value the document states, as text")


FactGroup = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^(\*|[a-z][A-Za-z.]*)$")]


PoolName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class Evidence(Model):
    """One attestation over one or more fact groups of the object that holds it."""

    covers: Annotated[list[FactGroup], Field(min_length=1, max_length=64)] = Field(
        description="Fact groups this covers: location, controlPlane, support, ... or * for all of the object"
    )
    class_: EvidenceClass = Field(
        alias="class",
        description="Strength: none, selfDeclared, contractual, certified, audited or recognised",
    )
    issuer: ObjectName = Field(description="Who vouches; name of a LegalEntity where there is one")
    issued: Moment = Field(description="Day or instant of issue (UTC)")
    reviewed: Moment | None = Field(
        default=None, description="Last periodic review; the issue date counts where absent (Art. 20(8): yearly)"
    )
    valid_until: Moment | None = Field(default=None, description="Last day of validity; absent = no fixed term")
    status: EvidenceStatus = Field(default=EvidenceStatus.ACTIVE, description="Where the attestation stands")
    document: Line | None = Field(default=None, description="Digest or address of the document")
    node_pools: Annotated[list[PoolName], Field(max_length=128)] | None = Field(
        default=None,
        description='Pools whose own facts this also covers, or ["*"]; absent = only facts of the cluster as a whole',
    )
    asserts: Annotated[list[Assertion], Field(max_length=64)] | None = Field(
        default=None, description="Values the document states, compared with the declared ones"
    )


Evidences = Annotated[list[Evidence], Field(max_length=64)]
