"""Which kubeconfigs of member clusters are acceptable, as a pure check: text in, settings or a list of problems out.

Called by `kube.connect` and by whoever validates a cluster's Secret before it is used. It must not read a file, run a
program or open a connection, and that is the point: a kubeconfig out of a Secret is somebody else's input, and its
format can name programs to run, files of ours to read and checks to skip. So it is an allow-list.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

MAX_SIZE: Final = 1024 * 1024  # bytes
MAX_DEPTH: Final = 32
MAX_EVENTS: Final = 20_000
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason to refuse a kubeconfig: the field, what is wrong with it, and what to do. Never holds a value."""

    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What a connection needs, all by value. Certificates and keys are PEM text; `repr` shows no secret."""

    server: str
    ca_pem: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    client_cert_pem: str | None = field(default=None, repr=False)
    client_key_pem: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    proxy: str | None = None


EMBED = "embed the content as {0}-data (kubectl config view --raw --flatten does it)"
ACCOUNT = "use the token of a ServiceAccount made for this purpose"

_REFUSED_CLUSTER: Mapping[str, tuple[str, str]] = {
    "certificate-authority": ("names a file", EMBED.format("certificate-authority")),
    "insecure-skip-tls-verify": ("turns off verification of the server", "give certificate-authority-data instead"),
}
_REFUSED_USER: Mapping[str, tuple[str, str]] = {
    "exec": ("would run a program", ACCOUNT),
    "auth-provider": ("needs a plugin", ACCOUNT),
    "tokenFile": ("names a file", "give the token itself as token"),
    "client-certificate": ("names a file", EMBED.format("client-certificate")),
    "client-key": ("names a file", EMBED.format("client-key")),
    "username": ("basic authentication is not supported by Kubernetes", ACCOUNT),
    "password": ("basic authentication is not supported by Kubernetes", ACCOUNT),
}
_CLUSTER_FIELDS = {"server", "certificate-authority-data", "tls-server-name", "proxy-url", "disable-compression"}
_USER_FIELDS = {"token", "client-certificate-data", "client-key-data"}


def check_kubeconfig(text: str) -> ConnectionSettings | list[Problem]:
    """Settings for the current context of a member's kubeconfig, or every reason why it is refused (never empty)."""
    if len(text.encode("utf-8", "replace")) > MAX_SIZE:
        return [Problem("kubeconfig", f"is larger than {MAX_SIZE} bytes", "keep only the one context that is needed")]
    try:
        if (odd := _oddity(text)) is not None:
            return [odd]
        document = yaml.load(text, Loader=_Loader)  # a safe loader, in C where there is one
    except (yaml.YAMLError, RecursionError, ValueError):
        return [Problem("kubeconfig", "is not YAML", "check its quoting and indentation")]
    if not isinstance(document, dict):
        return [Problem("kubeconfig", "is not a mapping", "give a whole kubeconfig (kind: Config)")]
    picked = select(document, context=None)
    if isinstance(picked, Problem):
        return [picked]
    return settings(picked, trusted=False)


def _oddity(text: str) -> Problem | None:
    """What no kubeconfig has and a hostile one may: building nested nodes recurses in C until the process dies, merged
    aliases grow exponentially. Parsing events does neither, so they are counted first."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            return Problem("kubeconfig", "has more in it than a kubeconfig", "keep only the one context that is needed")
        if isinstance(event, yaml.AliasEvent):
            return Problem("kubeconfig", "uses YAML aliases", "write the values out")
    return None


@dataclass(frozen=True, slots=True)
class Selected:
    """The cluster and user that a context selects, each with the path it has in the document."""

    cluster_at: str
    cluster: Mapping[str, Any]
    user_at: str
    user: Mapping[str, Any]


def select(document: Mapping[str, Any], *, context: str | None) -> Selected | Problem:
    """Resolve `context` (or `current-context`) to its cluster and user; nothing else in the document is looked at."""
    wanted = context or document.get("current-context")
    if not wanted or not isinstance(wanted, str):
        return Problem("current-context", "is missing", "set it to the one context to use")
    chosen = _named(document, section="contexts", name=wanted, body="context")
    if isinstance(chosen, Problem):
        return chosen
    at, body = chosen
    cluster = _named(document, section="clusters", name=body.get("cluster"), body="cluster", asked_at=at)
    if isinstance(cluster, Problem):
        return cluster
    user = _named(document, section="users", name=body.get("user"), body="user", asked_at=at)
    if isinstance(user, Problem):
        return user
    return Selected(*cluster, *user)


def _named(
    document: Mapping[str, Any], *, section: str, name: Any, body: str, asked_at: str = "current-context"
) -> tuple[str, Mapping[str, Any]] | Problem:
    """The only entry of `section` with that name, as (path, body)."""
    entries = document.get(section)
    entries = entries if isinstance(entries, list) else []
    found = [
        (f"{section}[{index}].{body}", entry.get(body))
        for index, entry in enumerate(entries)
        if isinstance(entry, dict) and name is not None and entry.get("name") == name
    ]
    if len(found) > 1:
        return Problem(section, "has more than one entry of the name in use", "keep one of them")
    if not found:
        return Problem(section, f"has no entry that {asked_at} names", "add it, or name another")
    at, content = found[0]
    if not isinstance(content, dict):
        return Problem(at, "is not a mapping", "write it as a kubeconfig does")
    return at, content


def settings(selected: Selected, *, trusted: bool) -> ConnectionSettings | list[Problem]:
    """Judge one cluster and user. `trusted` (the hub's own kubeconfig, files already inlined) admits two things more:
    the system's certificate authorities, and plain http on the loopback without credentials."""
    cluster, user = selected.cluster, selected.user
    problems = [
        *_fields(cluster, at=selected.cluster_at, allowed=_CLUSTER_FIELDS, refused=_REFUSED_CLUSTER),
        *_fields(user, at=selected.user_at, allowed=_USER_FIELDS, refused=_REFUSED_USER),
        *_server(cluster, at=selected.cluster_at, loopback=trusted and not user),
        *_proxy(cluster, at=selected.cluster_at),
        *_credentials(user, at=selected.user_at, optional=trusted),
        *(() if trusted else _authority(cluster, at=selected.cluster_at)),
    ]
    pem: dict[str, str | None] = {}
    for at, holder, name, marker in (
        (selected.cluster_at, cluster, "certificate-authority-data", "CERTIFICATE"),
        (selected.user_at, user, "client-certificate-data", "CERTIFICATE"),
        (selected.user_at, user, "client-key-data", "PRIVATE KEY"),
    ):
        pem[name] = _pem(holder.get(name), marker=marker)
        if holder.get(name) and pem[name] is None:
            problems.append(Problem(f"{at}.{name}", f"is not base64 of a PEM {marker.lower()}", "encode it again"))
    if problems:
        return problems
    return ConnectionSettings(
        server=str(cluster["server"]).rstrip("/"),
        ca_pem=pem["certificate-authority-data"],
        token=user.get("token") or None,
        client_cert_pem=pem["client-certificate-data"],
        client_key_pem=pem["client-key-data"],
        tls_server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or None,
    )


def _fields(
    body: Mapping[str, Any], *, at: str, allowed: set[str], refused: Mapping[str, tuple[str, str]]
) -> Iterator[Problem]:
    for name, value in body.items():
        if name in refused and value not in (None, "", False):
            yield Problem(f"{at}.{name}", *refused[name])
        elif name not in refused and name not in allowed and name != "extensions":
            # Impersonation, say: ignoring it would connect as somebody else than was meant.
            yield Problem(f"{at}.{name}", "is not supported", "remove it")
        elif name in allowed and name != "disable-compression" and not isinstance(value, str | None):
            yield Problem(f"{at}.{name}", "is not a string", "quote it")


def _server(cluster: Mapping[str, Any], *, at: str, loopback: bool) -> Iterator[Problem]:
    server = cluster.get("server")
    url = _url(server)
    if url is None:
        yield Problem(f"{at}.server", "is not a URL", "give https://host:port")
        return
    scheme, host, plain = url
    if scheme != "https" and not (loopback and scheme == "http" and host in LOOPBACK):
        yield Problem(f"{at}.server", "is not https", "connections without TLS are refused")
    if not plain:
        yield Problem(f"{at}.server", "has credentials, a query or a fragment", "give https://host:port")


def _proxy(cluster: Mapping[str, Any], *, at: str) -> Iterator[Problem]:
    proxy = cluster.get("proxy-url")
    if not proxy:
        return
    url = _url(proxy)
    if url is None or url[0] not in {"http", "https"} or not url[2]:
        yield Problem(f"{at}.proxy-url", "is not a plain http or https URL", "use a proxy that speaks HTTP CONNECT")


def _url(value: Any) -> tuple[str, str, bool] | None:
    """(scheme, host, whether nothing but scheme, host, port and path is there); None if it is no URL."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        host, _ = parts.hostname, parts.port  # the port is parsed on access, and may be refused there
    except ValueError:
        return None
    if not host:
        return None
    plain = not (parts.username or parts.password or parts.query or parts.fragment or parts.netloc.startswith("@"))
    return parts.scheme, host, plain


def _authority(cluster: Mapping[str, Any], *, at: str) -> Iterator[Problem]:
    # Explicit on purpose: the hundred-odd authorities of a base image are nobody's decision about this member.
    if not cluster.get("certificate-authority-data") and not cluster.get("certificate-authority"):
        yield Problem(f"{at}.certificate-authority-data", "is missing", "embed the certificate of the server's CA")


def _credentials(user: Mapping[str, Any], *, at: str, optional: bool) -> Iterator[Problem]:
    certificate, key = user.get("client-certificate-data"), user.get("client-key-data")
    if bool(certificate) != bool(key) and not _REFUSED_USER.keys() & user.keys():
        missing = "client-key-data" if certificate else "client-certificate-data"
        yield Problem(f"{at}.{missing}", "is missing beside its other half", "give both, or a token")
    if not (optional or certificate or key or user.get("token") or _REFUSED_USER.keys() & user.keys()):
        yield Problem(f"{at}.token", "is missing", ACCOUNT)
    token = user.get("token")
    if isinstance(token, str) and (not token.isascii() or any(c.isspace() for c in token.strip())):
        yield Problem(f"{at}.token", "holds blanks or characters no token has", "give the token alone")


def _pem(value: Any, *, marker: str) -> str | None:
    """The PEM text in a base64 string, if it is that."""
    if not isinstance(value, str) or not value:
        return None
    try:
        text = base64.b64decode("".join(value.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return text if "-----BEGIN " in text and f"{marker}-----" in text else None
