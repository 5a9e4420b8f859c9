"""LegalEntity: a provider, owner, subcontractor, facility operator, support or software vendor, and its facts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from domicile.model.evidence import Evidences
from domicile.model.rules import Check
from domicile.model.schema import EntityRef, Line, Model, Moment, Names, Percent, Place, Places, Word


class EntityKind(StrEnum):
    """What an owner is; states and their funds count as third countries when they are outside the territory."""

    COMPANY = "company"
    STATE = "state"
    STATE_FUND = "stateFund"
    FUND = "fund"
    FOUNDATION = "foundation"
    NATURAL_PERSON = "naturalPerson"
    DISPERSED = "dispersed"
    INTERNATIONAL_ORGANISATION = "internationalOrganisation"


class SpecialRight(StrEnum):
    """Rights beyond shares and votes that the control test reads (Annex III 7.1(2)(a))."""

    VETO = "veto"
    SHARE_TRANSFER_VETO = "shareTransferVeto"
    PREEMPTION = "preemption"
    CALL_OPTION = "callOption"
    BOARD_MAJORITY = "boardMajority"
    BOARD_SEAT = "boardSeat"
    GOLDEN_SHARE = "goldenShare"
    GENERAL_PARTNER = "generalPartner"


class Seats(Model):
    """Where the entity is established (Annex II (a), Annex III 1)."""

    registered_office: Place | None = Field(default=None, description="Country of the registered office")
    central_administration: Place | None = Field(default=None, description="Country of the central administration")
    main_establishment: Place | None = Field(default=None, description="Country of the main establishment")


class Establishment(Model):
    """Whether the establishment is more than a letter box (Annex III 1(3)-(5))."""

    genuine: bool | None = Field(default=None, description="Premises, staff, contracts and banking are there")


class Management(Model):
    """Where the entity is directed from (Annex III 7.1(1))."""

    countries: Places | None = Field(default=None, description="Countries the executive management works from")


class Owner(Model):
    """One ownership edge, from this entity to a holder: another LegalEntity, or a holder described in place."""

    checks: ClassVar = (
        Check(
            "has(self.entity) != (has(self.name) || has(self.kind) || has(self.country))",
            "give either entity, or name, kind and country of the holder; one of the two",
            lambda o: (o.entity is None) == any(v is not None for v in (o.name, o.kind, o.country)),
        ),
    )

    entity: EntityRef | None = Field(default=None, description="Holder as a LegalEntity, whose owners are followed")
    name: Word | None = Field(default=None, description="Holder described in place: a name")
    kind: EntityKind | None = Field(default=None, description="Holder described in place: what it is")
    country: Place | None = Field(default=None, description="Holder described in place: seat, state or nationality")
    capital_percent: Percent | None = Field(default=None, description="Share of capital, percent")
    votes_percent: Percent | None = Field(default=None, description="Share of voting rights, percent")
    special_rights: Annotated[list[SpecialRight], Field(max_length=16)] | None = Field(
        default=None, description="Rights beyond shares; an empty list states that there are none"
    )
    concert_group: Word | None = Field(default=None, description="Holders of one group act in concert: one holder")


class Ownership(Model):
    """The holders of the entity, from the disclosure threshold of 5 percent up (Annex III 7.1(2))."""

    coverage_percent: Percent | None = Field(default=None, description="Capital and votes accounted for, percent")
    as_of: Moment | None = Field(default=None, description="Day of the register of holders")
    owners: Annotated[list[Owner], Field(max_length=128)] | None = Field(default=None, description="Holders")


class ControlConclusion(StrEnum):
    """Who controls the entity, as somebody concluded; relative to no territory, which the framework brings."""

    NONE = "none"
    SOLE = "sole"
    JOINT = "joint"
    UNDETERMINED = "undetermined"


class Controller(Model):
    """One party with decisive influence (Art. 2(21))."""

    name: Word | None = Field(default=None, description="Name of the controller")
    kind: EntityKind | None = Field(default=None, description="What the controller is")
    country: Place = Field(description="Country of the controller: seat, state or nationality")
    means: Annotated[list[Word], Field(max_length=16)] | None = Field(
        default=None, description="How it controls: votes, board, contract, ..."
    )


class Control(Model):
    """The conclusion on control (Art. 2(21), Annex III 7): decisive influence, never a percentage."""

    checks: ClassVar = (
        Check(
            "!(self.conclusion in ['sole', 'joint']) || (has(self.controllers) && self.controllers.size() > 0)",
            "the conclusion sole or joint needs controllers; list who controls",
            lambda c: c.conclusion not in (ControlConclusion.SOLE, ControlConclusion.JOINT) or bool(c.controllers),
        ),
    )

    conclusion: ControlConclusion = Field(description="none, sole, joint or undetermined")
    controllers: Annotated[list[Controller], Field(max_length=32)] | None = Field(
        default=None, description="Ultimate controllers; required for sole and joint"
    )
    determined_by: Word | None = Field(default=None, description="Who drew the conclusion")


class Link(Model):
    """A commercial or financial link that may confer influence (Annex III 7.1(4)-(5))."""

    counterparty: Word = Field(description="Name of the other party")
    country: Place = Field(description="Country of the other party")
    confers_control: bool | None = Field(default=None, description="Whether the link confers decisive influence")


class ForeignLaw(Model):
    """What the law and practice of a country that controls the entity demand of it (Annex II (g))."""

    country: Place = Field(description="Country whose law it is")
    vulnerability_reporting: bool | None = Field(
        default=None, description="Vulnerabilities must be reported to authorities before known exploitation"
    )
    independent_sources: Annotated[list[Line], Field(max_length=16)] | None = Field(
        default=None, description="Independent sources for that statement"
    )
    extraterritorial: Annotated[list[Word], Field(max_length=16)] | None = Field(
        default=None, description="Extraterritorial regimes, such as US-CLOUD-ACT (recorded)"
    )


class Safeguards(Model):
    """The measures i to iv against a controller, and code access (Annex II 2.1(g), 3.1(g))."""

    delivery: bool | None = Field(default=None, description="i: control does not restrain delivery or capability")
    data_access: bool | None = Field(default=None, description="ii: third-country access to data is prevented")
    disruption: bool | None = Field(default=None, description="iii: disruption or degradation is prevented")
    sanctions: bool | None = Field(default=None, description="iv: foreign sanctions are not applied")
    code_access: bool | None = Field(default=None, description="3.1(g): reasonable access to source code is given")


class Clearance(StrEnum):
    """Security clearance of personnel where classified information is handled."""

    HELD = "held"
    NOT_REQUIRED = "notRequired"
    MISSING = "missing"


class Personnel(Model):
    """People who deliver, administer, secure or operate the service (Annex III 2 and 4)."""

    countries: Places | None = Field(default=None, description="Countries the personnel work from")
    all_union_citizens: bool | None = Field(
        default=None, description="Every involved person is a Union citizen; a second citizenship does no harm"
    )
    union_citizens_available: bool | None = Field(
        default=None, description="Union citizens are available on demand (Annex II 2.1(d))"
    )
    management_union_citizens: bool | None = Field(
        default=None, description="Everyone with management control is a Union citizen (Annex III 4 NB)"
    )
    clearance: Clearance | None = Field(default=None, description="held, notRequired or missing")


class Support(Model):
    """Technical and operational support (Annex II 1.1(d), 2.1(h), 3.1(h))."""

    initiated_from: Places | None = Field(default=None, description="Countries support is initiated from")
    performed_from: Places | None = Field(default=None, description="Countries support is performed from")
    admin_paths: Places | None = Field(default=None, description="Countries administrative access comes from")
    outsourced_to: Annotated[list[EntityRef], Field(max_length=32)] | None = Field(
        default=None, description="Support vendors, the whole chain; an empty list states that there are none"
    )
    foreign_measures: bool | None = Field(
        default=None, description="Measures for support from outside are in place (Annex II 1.1(d))"
    )
    data_path_outside: bool | None = Field(default=None, description="Support from outside has a path to customer data")
    personnel_union_residents: bool | None = Field(
        default=None, description="All support personnel reside in the Union (Annex II 3.1(h))"
    )


class Subcontracting(Model):
    """Transparency and oversight of subcontractors (Annex II 1.1(f))."""

    transparent: bool | None = Field(default=None, description="Subcontractors are fully disclosed")
    due_diligence: bool | None = Field(default=None, description="Due diligence and contract duties are in place")
    oversight: bool | None = Field(default=None, description="Oversight is ongoing")


class Subsidiary(Model):
    """A third-country subsidiary of the group and how it is kept apart (Annex II (k), Annex III 11)."""

    name: Word = Field(description="Name of the subsidiary")
    country: Place = Field(description="Country of the subsidiary")
    legal_separation: bool | None = Field(default=None, description="Separate legal person, no instruction duties")
    technical_separation: bool | None = Field(default=None, description="Separate systems and networks")
    organisational_separation: bool | None = Field(default=None, description="Separate staff and management")
    data_access: bool | None = Field(default=None, description="Has access to customer data")
    privileged_accounts: bool | None = Field(default=None, description="Holds privileged accounts")
    instruction_rights: bool | None = Field(default=None, description="May instruct the Union entity")
    requests_redirected: bool | None = Field(default=None, description="Foreign requests go to the Union entity")


class MaterialChange(Model):
    """A notified change of control (Art. 23(1)): a warning before its effective day, it bites on that day."""

    kind: Word = Field(description="acquisition, merger, ...")
    noticed: Moment = Field(description="Day of the notice")
    effective: Moment | None = Field(default=None, description="Day of closing; absent = signed, not closed")
    acquirer: EntityRef | None = Field(default=None, description="Acquirer as a LegalEntity")
    acquirer_country: Place | None = Field(default=None, description="Country of the acquirer")


class LegalEntitySpec(Model):
    """Facts of one legal entity. What is not stated is unknown, and unknown never admits."""

    legal_name: Line | None = Field(default=None, description="Name in the register")
    lei: Annotated[str, Field(max_length=20, pattern=r"^[A-Z0-9]{20}$")] | None = Field(
        default=None, description="Legal Entity Identifier (ISO 17442)"
    )
    kind: EntityKind = Field(default=EntityKind.COMPANY, description="What the entity is")
    country: Place | None = Field(
        default=None, description="State itself, or nationality of a person; a company states its seats"
    )
    sme: bool | None = Field(default=None, description="Small or medium enterprise (Art. 17(3))")
    seats: Seats | None = Field(default=None, description="Seats (Annex II (a))")
    establishment: Establishment | None = Field(default=None, description="Genuineness (Annex III 1)")
    management: Management | None = Field(default=None, description="Executive management (Annex III 7.1(1))")
    ownership: Ownership | None = Field(default=None, description="Holders (Annex III 7)")
    control: Control | None = Field(default=None, description="Conclusion on control (Art. 2(21))")
    links: Annotated[list[Link], Field(max_length=64)] | None = Field(
        default=None, description="Commercial and financial links (Annex III 7.1(4)-(5))"
    )
    foreign_laws: Annotated[list[ForeignLaw], Field(max_length=64)] | None = Field(
        default=None, description="Laws of controlling countries (Annex II 1.1(g))"
    )
    safeguards: Safeguards | None = Field(default=None, description="Measures i to iv (Annex II 2.1(g))")
    personnel: Personnel | None = Field(default=None, description="Personnel (Annex II 2.1(b), (d))")
    support: Support | None = Field(default=None, description="Support (Annex II 1.1(d), 2.1(h))")
    subcontracting: Subcontracting | None = Field(default=None, description="Annex II 1.1(f)")
    subsidiaries: Annotated[list[Subsidiary], Field(max_length=64)] | None = Field(
        default=None, description="Third-country subsidiaries; an empty list states that there are none"
    )
    material_changes: Annotated[list[MaterialChange], Field(max_length=32)] | None = Field(
        default=None, description="Notified changes of control (Art. 23(1)); a notice needs no evidence"
    )
    notice_days: Annotated[int, Field(ge=0, le=3650)] | None = Field(
        default=None, description="Days of notice before control changes (C3A SOV-1-04)"
    )
    alternatives: Names | None = Field(
        default=None, description="Alternative suppliers identified and tested (SecNumCloud 19.6.d)"
    )
    evidence: Evidences | None = Field(default=None, description="Who vouches for the facts above")
