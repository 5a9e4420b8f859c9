"""Lay out the folder of a new plane: certificates, kubeconfigs, ports and command lines."""

import base64
import json
import os
import random
import shutil
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from devcluster import certs
from devcluster.build import stage_files
from devcluster.components import Layout, commands, scheduler_configuration
from devcluster.errors import DevclusterError

# (identity, user, group); RBAC's built-in roles are bound to these very names.
_CLIENTS = (
    ("admin", "devcluster-admin", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kwok", "kwok", "system:masters"),
)
# Below the range from which Linux takes ports for outgoing connections, so that a port stays free between
# being chosen and being used, and while its component is stopped.
_PORTS = range(20000, 30000)


def prepare(name: str, *, directory: Path, binaries: Mapping[str, Path]) -> Layout:
    """Write everything the components of plane `name` need into `directory`, replacing what was there."""
    shutil.rmtree(directory, ignore_errors=True)
    for folder in (directory, directory / "pki", directory / "logs"):
        folder.mkdir(mode=0o700, parents=True)
    etcd_port, api_port = free_ports(2)
    layout = Layout(name=name, directory=directory, etcd_port=etcd_port, api_port=api_port)
    _write_certificates(layout)
    write_private(directory / "kube-scheduler.json", scheduler_configuration(layout).encode())
    plane = {
        "name": name,
        "server": layout.server,
        "commands": commands(layout, binaries=binaries, stages=stage_files()),
    }
    (directory / "plane.json").write_text(json.dumps(plane, indent=2))
    return layout


def free_ports(count: int) -> list[int]:
    """Different loopback ports that are free now. Another process may still take one before it is used, so
    the caller tries again with others when a component finds its port taken."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_PORTS, k=2000):
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise DevclusterError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop - 1} on 127.0.0.1")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)


def _write_certificates(layout: Layout) -> None:
    authority = certs.create_authority(f"devcluster {layout.name}")
    # Pods would reach the API server by its service names and the first address of the service range.
    hosts = [
        "127.0.0.1",
        "localhost",
        "10.96.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    server = certs.issue(authority, common_name="kube-apiserver", hosts=hosts)
    write_private(layout.pki / "ca.crt", authority.pem)
    write_private(layout.pki / "kube-apiserver.crt", server.certificate)
    write_private(layout.pki / "kube-apiserver.key", server.key)
    tokens = certs.signing_key()
    write_private(layout.pki / "service-accounts.pub", tokens.certificate)
    write_private(layout.pki / "service-accounts.key", tokens.key)
    for identity, user, group in _CLIENTS:
        client = certs.issue(authority, common_name=user, organization=group)
        content = kubeconfig(layout, ca=authority.pem, client=client).encode()
        if identity == "admin":
            write_private(layout.directory / "kubeconfig", content)
            write_private(layout.pki / "admin.crt", client.certificate)
            write_private(layout.pki / "admin.key", client.key)
        else:
            write_private(layout.kubeconfig(identity), content)


def kubeconfig(layout: Layout, *, ca: bytes, client: certs.Pair) -> str:
    """A kubeconfig that needs no other file, so that it can be copied into a Secret as it is."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    name = layout.name
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: "{name}"
  cluster:
    server: {layout.server}
    certificate-authority-data: {text(ca)}
users:
- name: "{name}"
  user:
    client-certificate-data: {text(client.certificate)}
    client-key-data: {text(client.key)}
contexts:
- name: "{name}"
  context:
    cluster: "{name}"
    user: "{name}"
current-context: "{name}"
"""
