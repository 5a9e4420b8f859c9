"""SovereignCluster: facts of a cluster and of each of its node pools, parties by reference, how to reach it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from domicile.model.evidence import Evidences
from domicile.model.rules import Check, Keyed, Transition
from domicile.model.schema import (
    Country,
    EntityRef,
    Label,
    Line,
    Model,
    Moment,
    ObjectName,
    Place,
    Places,
    Quantity,
    Subdivision,
    Word,
)


class LocationSource(StrEnum):
    """How the location is known; a label alone is a hint, never a fact."""

    ATTESTED = "attested"
    DECLARED = "declared"
    LABEL = "label"


class Location(Model):
    """Where the machines stand (Annex II (b)); never derived from a region's name."""

    country: Country | None = Field(default=None, description="ISO 3166-1 alpha-2")
    subdivision: Subdivision | None = Field(default=None, description="ISO 3166-2, decides over the country")
    source: LocationSource = Field(default=LocationSource.DECLARED, description="attested, declared or label")


class Where(Model):
    """Countries of one kind of infrastructure or asset (Annex II (b), Annex III 2)."""

    countries: Places | None = Field(default=None, description="ISO 3166 codes; an empty list states: none exist")


class Custody(StrEnum):
    """Who holds the keys."""

    PROVIDER = "provider"
    BYOK = "byok"
    HYOK = "hyok"
    EXTERNAL_HSM = "externalHsm"


class Keys(Model):
    """Cryptographic material, an asset (Annex III 2 NB)."""

    custody: Custody | None = Field(default=None, description="provider, byok, hyok or externalHsm")
    countries: Places | None = Field(default=None, description="Where keys are kept")
    operator: EntityRef | None = Field(default=None, description="Who operates the key store")


class CustomerData(Model):
    """Customer data: input, output, derived data, metadata; encrypted copies count (Annex III 3)."""

    countries: Places | None = Field(default=None, description="Where it is processed and stored")
    sensitive_classes: Annotated[list[Word], Field(max_length=32)] | None = Field(
        default=None, description="Classes a risk assessment marks sensitive (Annex II 4.1(c)); empty = none"
    )


class Sink(Model):
    """A place telemetry, metadata or logs are sent to."""

    endpoint: Line = Field(description="Host or address it is sent to")
    country: Place | None = Field(default=None, description="Where the sink is")
    operator: EntityRef | None = Field(default=None, description="Who operates it; counts as a subcontractor")
    enabled: bool = Field(default=True, description="False = configured but proven off")


class Telemetry(Model):
    """Telemetry and metadata (Annex II (c))."""

    runtime_defaults_off: bool | None = Field(
        default=None, description="Usage statistics that runtimes send by default are proven off"
    )
    sinks: Annotated[list[Sink], Field(max_length=64)] | None = Field(
        default=None, description="Every sink; an empty list states that there are none"
    )


class ServicePurpose(StrEnum):
    """What an outside service is used for."""

    MODEL_API = "modelApi"
    LICENCE_SERVER = "licenceServer"
    ATTESTATION_VERIFIER = "attestationVerifier"
    OTHER = "other"


class ExternalService(Model):
    """A service outside the cluster that workloads or nodes call: model API, licence server, TEE verifier."""

    name: Word = Field(description="Name of the service")
    purpose: ServicePurpose = Field(
        default=ServicePurpose.OTHER, description="modelApi, licenceServer, attestationVerifier or other"
    )
    country: Place | None = Field(default=None, description="Where it answers")
    operator: EntityRef | None = Field(default=None, description="Who operates it; counts as a subcontractor")
    receives_generated_data: bool | None = Field(
        default=None, description="Whether outputs, logs or telemetry reach it (Annex II 2.1(f))"
    )


class EgressDefault(StrEnum):
    """What happens to traffic nobody allowed."""

    DENY = "deny"
    ALLOW = "allow"


class Egress(Model):
    """Traffic leaving the cluster (Annex II (c))."""

    default: EgressDefault | None = Field(default=None, description="deny or allow")
    allowed_countries: Places | None = Field(default=None, description="Countries that stay reachable")


class DataUse(Model):
    """Use of data that using the service generates (Annex II 2.1(f))."""

    no_third_country_training: bool | None = Field(default=None, description="Not used to train third-country AI")
    no_secondary_use: bool | None = Field(default=None, description="No other use")
    generated_data_export: Places | None = Field(
        default=None, description="Where generated data goes; an empty list states: nowhere"
    )


class Certificate(Model):
    """A cybersecurity certificate; it is its own evidence while it is valid (Annex II (e))."""

    scheme: Word = Field(description="EUCS, SecNumCloud, CEN-TS-18026, C5, ISO27001, ...")
    level: Word | None = Field(default=None, description="basic, substantial or high")
    valid_until: Moment | None = Field(default=None, description="Last day of validity")
    document: Line | None = Field(default=None, description="Number, digest or address")


class Security(Model):
    """Cybersecurity without a certificate (Annex II (e), the last route)."""

    standards: Annotated[list[Word], Field(max_length=32)] | None = Field(
        default=None, description="Recognised standards demonstrated; an empty list states: none"
    )
    highest_union_standards: bool | None = Field(
        default=None, description="The highest standards under Union law are demonstrated"
    )


class Sbom(Model):
    """Software bill of materials (Annex II 2.1(i))."""

    complete: bool | None = Field(default=None, description="The SBOM is complete and current")
    dependency_list: bool | None = Field(default=None, description="A dependency list was given to the auditor")
    generated: Moment | None = Field(default=None, description="Day it was generated")


class Licence(StrEnum):
    """Whose terms the component comes under."""

    PROPRIETARY = "proprietary"
    OPEN_SOURCE = "openSource"


class RemoteFeatures(StrEnum):
    """Features that could tamper or disrupt from afar, updates included."""

    NONE = "none"
    BLOCKED = "blocked"
    PRESENT = "present"


class EffectiveControl(Model):
    """Who steers design, development, maintenance and evolution (Annex II 4.1(i), Annex III 9)."""

    country: Place | None = Field(default=None, description="Country of whoever steers the component")
    union_control_documented: bool | None = Field(
        default=None, description="A Union entity holds documented control: fork, build, patches, roadmap"
    )


class Component(Model):
    """A software component, drivers and firmware included (Annex II (i), (j)); hardware is out of scope."""

    name: Word = Field(description="Name of the component")
    supplier: EntityRef | None = Field(default=None, description="Supplier")
    supplier_country: Place | None = Field(
        default=None, description="Country of who provides, owns and licenses it; default: the supplier's seat"
    )
    licence: Licence | None = Field(default=None, description="proprietary or openSource")
    remote_features: RemoteFeatures | None = Field(default=None, description="none, blocked or present")
    security_relevant: bool | None = Field(default=None, description="Security-relevant parts")
    source_audited: bool | None = Field(default=None, description="Source audited; false = refused or not done")
    migration_plan: bool | None = Field(default=None, description="A migration plan exists")
    effective_control: EffectiveControl | None = Field(default=None, description="Annex II 4.1(i)")


class OpinionResult(StrEnum):
    """Outcome of the audit (Art. 20(5))."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    PARTIAL = "partial"


class RecognitionStatus(StrEnum):
    """Where the service stands with the competent authority (Art. 17, 22)."""

    NONE = "none"
    PENDING = "pending"
    PEER_REVIEW = "peerReview"
    OBJECTED = "objected"
    ACTIVE = "active"
    REVOKED = "revoked"


class AuditOpinion(Model):
    """The audit opinion on the service (Art. 20(5)(g)-(i))."""

    result: OpinionResult | None = Field(default=None, description="positive, negative or partial")
    level: Annotated[int, Field(ge=0, le=9)] | None = Field(default=None, description="Level it confirms")
    auditor_independent: bool | None = Field(default=None, description="Independence tests of Art. 20(4) are met")


class Recognition(Model):
    """Entry in the public repository (Art. 22)."""

    status: RecognitionStatus | None = Field(default=None, description="none, pending, peerReview, ... active")
    level: Annotated[int, Field(ge=0, le=9)] | None = Field(default=None, description="Level recognised")
    checked: Moment | None = Field(default=None, description="When the repository was last read")


class Assurance(Model):
    """Statement, audit and recognition of the service: a level attaches to a service (Art. 17(7))."""

    statement_published: bool | None = Field(default=None, description="EU statement of conformity (Art. 19)")
    opinion: AuditOpinion | None = Field(default=None, description="Audit opinion (Art. 20)")
    recognition: Recognition | None = Field(default=None, description="Repository entry (Art. 22)")


class PlacementFacts(Model):
    """Facts of a cluster, or of a pool where it differs. A pool's group replaces the cluster's whole group."""

    location: Location | None = Field(default=None, description="Annex II (b)")
    control_plane: Where | None = Field(default=None, description="API servers and etcd (Annex II (b))")
    backups: Where | None = Field(default=None, description="Backups (Annex III 2(1)(a))")
    disaster_recovery: Where | None = Field(default=None, description="Disaster recovery sites")
    logs: Where | None = Field(default=None, description="Log storage")
    registry: Where | None = Field(default=None, description="Image registries nodes pull from")
    model_store: Where | None = Field(default=None, description="Stores weights are fetched from")
    keys: Keys | None = Field(default=None, description="Cryptographic material, an asset")
    customer_data: CustomerData | None = Field(default=None, description="Annex II (c)")
    telemetry: Telemetry | None = Field(default=None, description="Annex II (c)")
    external_services: Annotated[list[ExternalService], Field(max_length=64)] | None = Field(
        default=None, description="Outside services; an empty list states that there are none"
    )
    egress: Egress | None = Field(default=None, description="Annex II (c)")
    data_use: DataUse | None = Field(default=None, description="Annex II 2.1(f)")
    certificates: Annotated[list[Certificate], Field(max_length=32)] | None = Field(
        default=None, description="Annex II (e)"
    )
    security: Security | None = Field(default=None, description="Annex II (e)")
    sbom: Sbom | None = Field(default=None, description="Annex II 2.1(i)")
    components: Annotated[list[Component], Field(max_length=256)] | None = Field(
        default=None, description="Software components with their suppliers (Annex II (i), (j))"
    )
    assurance: Assurance | None = Field(default=None, description="Statement, audit, recognition")


class FacilityModel(StrEnum):
    """How the building is held."""

    OWNED = "owned"
    COLOCATION = "colocation"
    PUBLIC_CLOUD = "publicCloud"


class Facility(Model):
    """The building the pool stands in. Its operator and owner count as subcontractors (Annex III 2)."""

    operator: EntityRef | None = Field(default=None, description="Who operates the building")
    owner: EntityRef | None = Field(default=None, description="Who owns it")
    model: FacilityModel | None = Field(default=None, description="owned, colocation or publicCloud")
    country: Place | None = Field(default=None, description="Where it stands; default: the pool's location")
    remote_hands: bool | None = Field(default=None, description="The operator's staff touch the machines")


class Subcontractor(Model):
    """A third party that contributes to the service (Annex II 1.2, 2.2, 3.2, 4.2)."""

    entity: EntityRef = Field(description="LegalEntity of the subcontractor")
    direct_contract: bool | None = Field(default=None, description="Direct contract with the provider")
    may_access_sensitive: bool | None = Field(
        default=None, description="May need access to classified or sensitive information (levels 3 and 4)"
    )
    functions: Annotated[list[Word], Field(max_length=16)] | None = Field(default=None, description="What it does")
    node_pools: Annotated[list[Label], Field(max_length=128)] | None = Field(
        default=None, description="Pools it takes part in; absent = all of them"
    )


class Burst(Model):
    """Where a pool's pods may overflow to (virtual kubelet, another provider)."""

    provider: EntityRef = Field(description="LegalEntity that provides that capacity")
    countries: Places | None = Field(default=None, description="Where that capacity is")


RESTRICTED_LABEL = (
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\.)?node-restriction\.kubernetes\.io/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
)
RestrictedLabel = Annotated[str, StringConstraints(max_length=253, pattern=RESTRICTED_LABEL)]


class NodeMembership(Model):
    """Which nodes belong to the pool: by provider id, by name, or by labels that a kubelet cannot write."""

    checks: ClassVar = (
        Check(
            "[has(self.providerIDPrefix), has(self.names), has(self.labels)].filter(given, given).size() == 1",
            "give exactly one of providerIDPrefix, names or labels",
            lambda n: [n.provider_id_prefix, n.names, n.labels].count(None) == 2,
        ),
    )

    provider_id_prefix: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = Field(
        default=None, alias="providerIDPrefix", description="Prefix of spec.providerID"
    )
    names: Annotated[list[ObjectName], Field(max_length=512)] | None = Field(default=None, description="Node names")
    labels: Annotated[dict[RestrictedLabel, Annotated[str, Field(max_length=63)]], Field(max_length=8)] | None = Field(
        default=None,
        description="Labels under *.node-restriction.kubernetes.io only, which no kubelet can write",
        json_schema_extra={
            "x-key-message": "use keys under *.node-restriction.kubernetes.io, which no kubelet can write"
        },
    )


class PoolAccelerator(Model):
    """What accelerator each node of the pool carries."""

    product: Word = Field(description="H100, A100, MI300X, ...")
    memory: Quantity | None = Field(default=None, description="Memory of one accelerator, 80Gi")
    resource_name: Annotated[str, Field(max_length=128)] = Field(
        default="nvidia.com/gpu", description="Extended resource that counts them"
    )


class NodePool(Model):
    """A group of nodes with one set of facts. Who provides it is said for each pool, never inherited."""

    name: Label = Field(description="Name of the pool, unique in the cluster")
    provider: EntityRef = Field(description="LegalEntity that provides this pool")
    facility: Facility | None = Field(default=None, description="Building, where not the provider's own")
    bursts_to: Annotated[list[Burst], Field(max_length=8)] | None = Field(
        default=None, description="Where its pods may overflow to"
    )
    nodes: NodeMembership = Field(description="Which nodes belong to the pool")
    accelerator: PoolAccelerator | None = Field(default=None, description="Accelerator of each node")
    facts: PlacementFacts | None = Field(default=None, description="Groups that differ from the cluster's")


class SecretRef(Model):
    """A Secret on the hub that holds a kubeconfig."""

    namespace: Label = Field(description="Namespace of the Secret")
    name: ObjectName = Field(description="Name of the Secret")
    key: Annotated[str, Field(max_length=253)] = Field(default="kubeconfig", description="Key inside the Secret")


class Hub(Model):
    """The hub itself; written as an empty object."""


class Connection(Model):
    """How the cluster is reached: the hub itself, or a kubeconfig in a Secret."""

    checks: ClassVar = (
        Check(
            "has(self.hub) != has(self.kubeconfigSecret)",
            "give exactly one of hub or kubeconfigSecret; leave connection out to deliver nothing",
            lambda c: (c.hub is None) != (c.kubeconfig_secret is None),
        ),
    )

    hub: Hub | None = Field(default=None, description="The cluster the operator watches: {}")
    kubeconfig_secret: SecretRef | None = Field(default=None, description="Secret with a self-contained kubeconfig")


class Identity(Model):
    """What makes the cluster this cluster; a change voids all its facts."""

    kube_system_uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, alias="kubeSystemUID", description="UID of the kube-system namespace"
    )


def _uid(spec: SovereignClusterSpec) -> str | None:
    return spec.identity.kube_system_uid if spec.identity else None


class SovereignClusterSpec(Model):
    """One cluster: identity, connection, parties, facts, pools, evidence."""

    transitions: ClassVar = (
        Transition(
            "!has(oldSelf.identity) || !has(oldSelf.identity.kubeSystemUID) || (has(self.identity)"
            " && has(self.identity.kubeSystemUID) && self.identity.kubeSystemUID == oldSelf.identity.kubeSystemUID)",
            "identity.kubeSystemUID is fixed once set; another cluster needs an object of its own",
            lambda new, old: _uid(old) in (None, _uid(new)),
        ),
    )

    identity: Identity | None = Field(default=None, description="Cluster identity")
    connection: Connection | None = Field(default=None, description="How to reach it; absent = never delivered to")
    provider: EntityRef = Field(description="LegalEntity that provides the control plane")
    subcontractors: Annotated[list[Subcontractor], Field(max_length=64)] | None = Field(
        default=None, description="Subcontractors; an empty list states that there are none (Annex II 1.2)"
    )
    facts: PlacementFacts | None = Field(default=None, description="Facts of the cluster as a whole")
    node_pools: Annotated[list[NodePool], Field(max_length=128), Keyed("name")] = Field(
        default_factory=list, description="Node pools, each a candidate"
    )
    evidence: Evidences | None = Field(default=None, description="Who vouches for the facts")
