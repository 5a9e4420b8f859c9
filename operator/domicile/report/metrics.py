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
