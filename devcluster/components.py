"""The command line of each component, and why each flag is there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Client limits of the scheduler and the controller manager. Their defaults (50 and 20 requests a second)
# cap a whole cluster at about 50 new pods a second, and a benchmark would measure the limit, not the work.
CLIENT_QPS = 1000
CLIENT_BURST = 2000

# No plane has volumes to attach, and this controller wakes ten times a second to look for some.
_UNUSED_CONTROLLERS = ("persistentvolume-attach-detach-controller",)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where one plane keeps its files and on which loopback ports it listens."""

    name: str
    directory: Path
    etcd_port: int
    api_port: int

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.directory / "pki"

    def kubeconfig(self, identity: str) -> Path:
        """The kubeconfig of a component."""
        return self.directory / f"{identity}.kubeconfig"

    @property
    def storage(self) -> str:
        """The address of etcd."""
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.api_port}"


def commands(layout: Layout, *, binaries: Mapping[str, Path], stages: Sequence[Path]) -> dict[str, list[str]]:
    """All components with their full command lines."""
    arguments = {
        "etcd": etcd(layout),
        "kube-apiserver": api_server(layout),
        "kube-controller-manager": controller_manager(layout),
        "kube-scheduler": scheduler(layout),
        "kwok": kwok(layout, stages=stages),
    }
    return {name: [str(binaries[name]), *arguments[name]] for name in arguments}


def etcd(layout: Layout) -> list[str]:
    """A single member; without waiting for the disk, because nobody keeps a development plane."""
    return [
        f"--name={layout.name}",
        f"--data-dir={layout.directory / 'etcd'}",
        f"--listen-client-urls={layout.storage}",
        f"--advertise-client-urls={layout.storage}",
        # It has no peers but insists on listening for some: any free port will do.
        "--listen-peer-urls=http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(layout: Layout) -> list[str]:
    """The API server with TLS, client certificates, RBAC and the admission plugins of a real cluster."""
    pki = layout.pki
    return [
        f"--etcd-servers={layout.storage}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.api_port}",
        "--advertise-address=127.0.0.1",
        # A loopback address is not a valid Endpoints entry: publishing it would fail every ten seconds.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--profiling=false",
    ]


def controller_manager(layout: Layout) -> list[str]:
    """The default controllers (minus the unused), each with its own service account as in a real cluster."""
    pki = layout.pki
    return [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        "--controllers=" + ",".join(["*", *(f"-{name}" for name in _UNUSED_CONTROLLERS)]),
        f"--kube-api-qps={CLIENT_QPS}",
        f"--kube-api-burst={CLIENT_BURST}",
        "--profiling=false",
    ]


def scheduler(layout: Layout) -> list[str]:
    """The scheduler with its default profile; the settings are in a file, where they are not deprecated."""
    return [f"--config={layout.directory / 'kube-scheduler.json'}", "--secure-port=0"]


def scheduler_configuration(layout: Layout) -> str:
    """The content of the scheduler's configuration file."""
    return json.dumps(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {
                "kubeconfig": str(layout.kubeconfig("kube-scheduler")),
                "qps": CLIENT_QPS,
                "burst": CLIENT_BURST,
            },
            "leaderElection": {"leaderElect": False},
            "enableProfiling": False,
        },
        indent=2,
    )


def kwok(layout: Layout, *, stages: Sequence[Path]) -> list[str]:
    """KWOK plays the kubelet of every node: nodes become Ready, pods bound to them become Running."""
    return [
        f"--kubeconfig={layout.kubeconfig('kwok')}",
        "--manage-all-nodes=true",
        # With a node port it would serve its kubelet API on all interfaces, and planes would clash.
        "--node-port=0",
        # Without leases every node is NotReady 50 seconds after it came, and its pods are never Ready again.
        "--node-lease-duration-seconds=40",
        # The default has 254 addresses for all pods of all nodes, and a pod without one is never Ready.
        "--cidr=10.0.0.1/16",
        *(f"--config={stage}" for stage in stages),
    ]
