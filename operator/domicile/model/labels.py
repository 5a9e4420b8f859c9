"""Labels, annotations and names that Domicile writes. The node labels live under a prefix that kubelets cannot set."""

GROUP = "domicile.dev"
RESUME_MOVES = "domicile.dev/resume-moves"
FIELD_MANAGER = "domicile"
FINALIZER = "domicile.dev/placement"

MANAGED_BY = "app.kubernetes.io/managed-by"
WORKLOAD = "domicile.dev/infd"
RECORD = "domicile.dev/record"
TIER = "domicile.dev/tier"
RECORD = "domicile.dev/record"
DIGEST = "domicile.dev/rendered-digest"

NODE_PREFIX = "domicile.node-restriction.kubernetes.io"
POOL_LABEL = f"{NODE_PREFIX}/pool"
DEFAULT_FRAMEWORK = "cada"


def level_label(framework: str, level: int) -> str:
    """Node label that says a level is proven; other frameworks than the default one are named in it."""
    name = f"level-{level}" if framework == DEFAULT_FRAMEWORK else f"{framework}-level-{level}"
    return f"{NODE_PREFIX}/{name}"
