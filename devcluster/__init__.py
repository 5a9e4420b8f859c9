"""Real Kubernetes control planes on this machine, for tests, the demo and benchmarks.

with devcluster.planes("hub", "member-1") as planes:
    print(planes["hub"].kubectl("get", "nodes"))
"""

from devcluster.binaries import kubectl_path
from devcluster.errors import ComponentError, DevclusterError, UsageError
from devcluster.owned import planes
from devcluster.plane import Plane

__all__ = ["ComponentError", "DevclusterError", "Plane", "UsageError", "kubectl_path", "planes"]
