"""Opens clients: the hub's from the pod's ServiceAccount or the user's kubeconfig, a member's from a kubeconfig's text.

Called by `runtime.app`, the command line and the pool of member clients. The hub's kubeconfig is the user's own and may
name files and a credential program; a member's comes out of a Secret and may name neither (`kube.kubeconfig`).
It must not know what is done with a client.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from domicile.kube import kubeconfig as kc
from domicile.kube.client import KubeClient, TokenSource
from domicile.kube.errors import Unauthorized
from domicile.kube.kubeconfig import ConnectionSettings, Problem, check_kubeconfig

__all__ = ["ConnectionSettings", "KubeconfigError", "Problem", "check_kubeconfig", "hub_client", "member_client"]

ACCOUNT_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_LIFE: Final = 60.0  # seconds between readings of a token file; the kubelet renews it long before it expires
EXEC_TIMEOUT: Final = 30.0  # seconds a credential program may take
EXPIRY_MARGIN: Final = 120.0  # seconds
HUB_WRITES: Final = 32
MEMBER_WRITES: Final = 8


class KubeconfigError(ValueError):
    """A kubeconfig that is refused; `problems` name the fields and the remedies, and hold no secret."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("kubeconfig refused: " + ". ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def member_client(kubeconfig_text: str, *, parallel_writes: int = MEMBER_WRITES) -> KubeClient:
    """A client for a member cluster. Raises `KubeconfigError`; opens no connection yet."""
    checked = check_kubeconfig(kubeconfig_text)
    if isinstance(checked, list):
        raise KubeconfigError(checked)
    return open_client(checked, parallel_writes=parallel_writes)


def hub_client(
    *, kubeconfig: str | None = None, context: str | None = None, parallel_writes: int = HUB_WRITES
) -> KubeClient:
    """A client for the hub: in a pod its ServiceAccount, unless a kubeconfig or context is asked for; else the named
    kubeconfig, `KUBECONFIG`, or the default one. Raises `KubeconfigError`; opens no connection yet."""
    settings, token = hub_settings(kubeconfig=kubeconfig, context=context)
    return open_client(settings, token=token, parallel_writes=parallel_writes)


def hub_settings(
    *, kubeconfig: str | None = None, context: str | None = None
) -> tuple[ConnectionSettings, TokenSource | None]:
    """How the hub is reached, with the source of its token where that must be renewed. Raises `KubeconfigError`."""
    if kubeconfig is None and context is None and in_cluster(os.environ):
        return account_settings(ACCOUNT_FOLDER, environment=os.environ)
    return trusted_settings(_paths(kubeconfig), context=context)


def open_client(settings: ConnectionSettings, *, token: TokenSource | None = None, parallel_writes: int) -> KubeClient:
    """A client for checked settings; `token` replaces the fixed token of the settings where it must be renewed."""
    return KubeClient(
        settings.server,
        ssl_context=tls_context(settings) if settings.server.startswith("https://") else None,
        token=token or (_fixed(settings.token) if settings.token else None),
        server_hostname=settings.tls_server_name,
        proxy=settings.proxy,
        parallel_writes=parallel_writes,
    )


# -- TLS ---------------------------------------------------------------------------------------------------------


def tls_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """A verifying context. With a CA given only that one is trusted, which also saves loading the system's (0.8 MB)."""
    try:
        context = ssl.create_default_context(cadata=settings.ca_pem)
    except ssl.SSLError as error:
        problem = Problem("certificate-authority-data", "holds no usable certificate", "embed the CA's PEM")
        raise KubeconfigError([problem]) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_cert_pem and settings.client_key_pem:
        with _as_file(f"{settings.client_cert_pem}\n{settings.client_key_pem}") as path:
            try:
                context.load_cert_chain(path, password=lambda: b"")  # never ask a terminal for a passphrase
            except (ssl.SSLError, ValueError, OSError) as error:
                problem = Problem("client-key-data", "is encrypted or does not match", "embed the pair unencrypted")
                raise KubeconfigError([problem]) from error
    return context


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A path to read `text` from, because OpenSSL's Python binding takes a key by no other way. In memory on Linux, so
    that a key never reaches a disk; elsewhere a file for the owner only, gone at once."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("pem", os.MFD_CLOEXEC)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{handle}"
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as named:
            named.write(text)
            named.flush()
            yield named.name


# -- tokens ------------------------------------------------------------------------------------------------------


def _fixed(token: str) -> TokenSource:
    async def give() -> str:
        return token.strip()

    return give


def file_token(path: Path, *, clock: Callable[[], float] = time.monotonic) -> TokenSource:
    """The token in a file, read again every minute because the kubelet rotates it. `Unauthorized` if unreadable."""
    cached: tuple[float, str] | None = None

    async def give() -> str:
        nonlocal cached
        now = clock()
        if cached is None or now - cached[0] >= TOKEN_LIFE:
            cached = (now, _read_token(path))
        return cached[1]

    return give


def _read_token(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise Unauthorized(0, reason="NoToken", message=f"cannot read the token file: {error}") from error
    if not token:
        raise Unauthorized(0, reason="NoToken", message="the token file is empty")
    return token


def exec_token(spec: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> TokenSource:
    """The token a credential program prints, asked for again before it expires. For the user's own hub only."""
    cached: tuple[float, str] | None = None
    lock = asyncio.Lock()

    async def give() -> str:
        nonlocal cached
        async with lock:
            if cached is None or clock() >= cached[0] - EXPIRY_MARGIN:
                cached = await _run_credential_program(spec)
            return cached[1]

    return give


async def _run_credential_program(spec: Mapping[str, Any]) -> tuple[float, str]:
    """(expiry in Unix seconds, token)."""
    from kubernetes.aio.config import exec_provider, kube_config  # here: a slow import that a pod never needs

    provider: Any = exec_provider.ExecProvider  # untyped library
    node: Any = kube_config.ConfigNode
    try:
        async with asyncio.timeout(EXEC_TIMEOUT):
            status = await provider(node("exec", dict(spec))).run()
        token = str(status["token"])
        expiry = status.get("expirationTimestamp")
        return datetime.fromisoformat(expiry).timestamp() if expiry else float("inf"), token
    except Exception as error:  # whatever a foreign program does wrong, we are not logged in
        raise Unauthorized(0, reason="NoToken", message=f"credential program failed: {error}") from error


# -- the hub -----------------------------------------------------------------------------------------------------


def in_cluster(environment: Mapping[str, str], *, folder: Path = ACCOUNT_FOLDER) -> bool:
    """Whether this process is a pod with a ServiceAccount mounted."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST")) and (folder / "token").is_file()


def account_settings(folder: Path, *, environment: Mapping[str, str]) -> tuple[ConnectionSettings, TokenSource]:
    """The API server and CA a pod is given, and its rotating token."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    settings = ConnectionSettings(server=server, ca_pem=(folder / "ca.crt").read_text())
    return settings, file_token(folder / "token")


def _paths(kubeconfig: str | None) -> list[Path]:
    named = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return [Path(part).expanduser() for part in named.split(os.pathsep) if part]


def trusted_settings(paths: list[Path], *, context: str | None) -> tuple[ConnectionSettings, TokenSource | None]:
    """Read the user's own kubeconfig files, merged as kubectl does (the first to name a thing wins), and take the
    context's files and credential program in. What is left is judged as a member's would be."""
    selected = kc.select(_merged(paths), context=context)
    if isinstance(selected, Problem):
        raise KubeconfigError([selected])
    cluster, user = dict(selected.cluster), dict(selected.user)
    for body, name in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")):
        if path := body.pop(name, None):
            body.setdefault(f"{name}-data", _inlined(Path(path), name=name))
    program, token_file = user.pop("exec", None), user.pop("tokenFile", None)
    checked = kc.settings(kc.Selected(selected.cluster_at, cluster, selected.user_at, user), trusted=True)
    if isinstance(checked, list):
        raise KubeconfigError(checked)
    if (program or token_file) and not checked.server.startswith("https://"):
        raise KubeconfigError([Problem(f"{selected.cluster_at}.server", "is not https", "a token is not sent plain")])
    if checked.token or not (program or token_file):
        return checked, None
    return checked, exec_token(program) if program else file_token(Path(token_file))


def _inlined(path: Path, *, name: str) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise KubeconfigError([Problem(name, f"cannot be read: {error}", "correct the path")]) from error


def _merged(paths: list[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {"clusters": [], "users": [], "contexts": []}
    for path in paths:
        if not path.is_file():
            continue
        document = yaml.safe_load(path.read_text()) or {}
        merged.setdefault("current-context", document.get("current-context"))
        for section in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[section]}
            for entry in document.get(section) or []:
                if entry["name"] not in known:
                    merged[section].append(_absolute(entry, folder=path.parent))
    return merged


def _absolute(entry: dict[str, Any], *, folder: Path) -> dict[str, Any]:
    """File names in a kubeconfig are relative to the kubeconfig."""
    body_name = next((name for name in ("cluster", "user") if isinstance(entry.get(name), dict)), None)
    if body_name is None:
        return entry
    body = dict(entry[body_name])
    for name in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if body.get(name):
            body[name] = str(folder / body[name])
    return {**entry, body_name: body}
