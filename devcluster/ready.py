"""Whether a control plane can be worked with, asked as its admin."""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 2.0


def etcd_ready(address: str) -> bool:
    """Whether the etcd at `address` (plain HTTP) is up and able to take writes."""
    found = urlsplit(address)
    return _get("/health", on=http.client.HTTPConnection(found.netloc, timeout=_TIMEOUT_SECONDS)) == 200


def api_ready(server: str, *, pki: Path) -> bool:
    """Whether the API server at `server` says that it is ready, storage and RBAC rules included."""
    return _status("/readyz", server=server, pki=pki) == 200


def accounts_ready(server: str, *, pki: Path) -> bool:
    """Whether the controller manager has made the first service account: before that, no pod is admitted."""
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    return _status(path, server=server, pki=pki) == 200


def _status(path: str, *, server: str, pki: Path) -> int:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    netloc = urlsplit(server).netloc
    return _get(path, on=http.client.HTTPSConnection(netloc, context=context, timeout=_TIMEOUT_SECONDS))


def _get(path: str, *, on: http.client.HTTPConnection) -> int:
    """The HTTP status of a GET; 0 if there is no answer."""
    try:
        on.request("GET", path)
        return on.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        on.close()
