"""All Prometheus collectors, in one registry. Labels are bounded: never a workload's name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

DECISIONS = Counter("domicile_decisions", "Decisions by outcome", ["outcome"], registry=REGISTRY)
DECIDE_SECONDS = Histogram(
    "domicile_decide_seconds",
    "Time of one decision",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    registry=REGISTRY,
)
RECONCILES = Counter("domicile_reconciles", "Reconciles by kind and result", ["kind", "result"], registry=REGISTRY)
RECONCILE_SECONDS = Histogram("domicile_reconcile_seconds", "Time of one reconcile", ["kind"], registry=REGISTRY)
HUB_WRITES = Counter("domicile_hub_writes", "Writes to the hub's API server", ["what"], registry=REGISTRY)
QUEUE_DEPTH = Gauge("domicile_queue_depth", "Keys waiting", registry=REGISTRY)
QUEUE_OLDEST = Gauge("domicile_queue_oldest_seconds", "Longest wait of a waiting key", registry=REGISTRY)
WORKLOADS = Gauge("domicile_workloads", "InferenceDeployments known", registry=REGISTRY)
CANDIDATES = Gauge(
    "domicile_candidates", "Node pools by highest level proven", ["framework", "level"], registry=REGISTRY
)
MEMBER_REACHABLE = Gauge("domicile_member_reachable", "1 where a member answers", ["cluster"], registry=REGISTRY)
NEXT_EVALUATION = Gauge(
    "domicile_next_evaluation_timestamp_seconds", "When time alone may next change a verdict", registry=REGISTRY
)

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86400)
VIOLATIONS_OPEN = Gauge(
    "domicile_violations_open", "Copies that run where they may not", ["level", "verdict"], registry=REGISTRY
)
DETECTION_SECONDS = Histogram(
    "domicile_violation_detection_seconds",
    "From the change of a fact, in whole seconds as API servers keep it, to its detection",
    buckets=SECONDS,
    registry=REGISTRY,
)
VACATED_SECONDS = Histogram(
    "domicile_violation_vacated_seconds",
    "From the detection of a violation to the last pod gone or the place legal again",
    buckets=SECONDS,
    registry=REGISTRY,
)
MOVES = Counter("domicile_moves", "Copies moved to another place", ["level"], registry=REGISTRY)
STOPS = Counter("domicile_stops", "Copies scaled to zero since their tier demands it", ["level"], registry=REGISTRY)
DRIFT = Counter("domicile_drift", "Delivered objects changed by others and put back", ["kind"], registry=REGISTRY)
BREAKER_OPEN = Gauge("domicile_breaker_open", "1 while moving is stopped", ["framework"], registry=REGISTRY)
EXPOSURE_SECONDS = Histogram(
    "domicile_exposure_seconds",
    "From the last check of a place to the end of its delivery",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
    registry=REGISTRY,
)
EVIDENCE_SECONDS = Gauge(
    "domicile_evidence_expiry_seconds",
    "Until time alone may next change a verdict about a cluster",
    ["cluster"],
    registry=REGISTRY,
)
EVALUATION_AGE = Gauge(
    "domicile_evaluation_age_seconds",
    "Since the candidates of a cluster were last evaluated",
    ["cluster"],
    registry=REGISTRY,
)
EVENTS_DROPPED = Counter("domicile_events_dropped", "Kubernetes Events not posted", registry=REGISTRY)
LOG_SIZE = Gauge("domicile_log_size", "Records in the decision log", registry=REGISTRY)
LOG_CHECKPOINT = Gauge(
    "domicile_log_last_checkpoint_timestamp_seconds", "When a checkpoint was last published", registry=REGISTRY
)
LOG_FAILURES = Counter("domicile_log_append_failures", "Records that were not stored", registry=REGISTRY)
LOG_SECONDS = Histogram(
    "domicile_log_append_seconds",
    "Until records are durable",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    registry=REGISTRY,
)
