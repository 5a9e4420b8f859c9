"""Which kubeconfigs open a connection: a table of refusals for members, and real TLS for what is accepted."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domicile.kube import connect
from domicile.kube.client import KubeClient
from domicile.kube.connect import ConnectionSettings, KubeconfigError, check_kubeconfig, member_client
from domicile.kube.errors import Unauthorized, Unavailable
from tests.fakeapi import FakeApi

Config = dict[str, Any]
Pair = tuple[str, str]  # certificate and key, PEM


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
AUTHORITY = "clusters[1].cluster.certificate-authority-data"


def kubeconfig(*, cluster: Config | None = None, user: Config | None = None, **top: Any) -> Config:
    """A good one, with fields replaced; None removes a field."""
    parts = {
        "cluster": {"server": "https://api.member.example:6443", "certificate-authority-data": b64(PEM)}
        | (cluster or {}),
        "user": {"token": "abc"} | (user or {}),
    }
    clean = {part: {k: v for k, v in body.items() if v is not None} for part, body in parts.items()}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "other", "cluster": {}}, {"name": "c", "cluster": clean["cluster"]}],
        "users": [{"name": "u", "user": clean["user"]}],
        **top,
    }


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("users[0].user.exec", kubeconfig(user={"exec": {"command": "/bin/sh"}})),
        ("users[0].user.exec", kubeconfig(user={"token": None, "exec": {"command": "/bin/sh"}})),
        ("users[0].user.auth-provider", kubeconfig(user={"auth-provider": {"name": "oidc"}})),
        ("users[0].user.tokenFile", kubeconfig(user={"tokenFile": "/run/token"})),
        ("users[0].user.client-certificate", kubeconfig(user={"client-certificate": "/c.pem"})),
        ("users[0].user.client-key", kubeconfig(user={"client-key": "/k.pem"})),
        ("users[0].user.password", kubeconfig(user={"username": "u", "password": "p"})),
        ("users[0].user.token", kubeconfig(user={"token": None})),
        ("users[0].user.token", kubeconfig(user={"token": "a\nHost: b"})),
        ("users[0].user.token", kubeconfig(user={"token": ["a"]})),
        ("users[0].user.as", kubeconfig(user={"as": "system:admin"})),
        ("users[0].user.client-key-data", kubeconfig(user={"client-certificate-data": b64(PEM)})),
        (
            "users[0].user.client-key-data",
            kubeconfig(user={"client-certificate-data": b64(PEM), "client-key-data": "not base64!"}),
        ),
        ("clusters[1].cluster.certificate-authority", kubeconfig(cluster={"certificate-authority": "/ca.pem"})),
        (AUTHORITY, kubeconfig(cluster={"certificate-authority-data": None})),
        (AUTHORITY, kubeconfig(cluster={"certificate-authority-data": b64("x")})),
        ("clusters[1].cluster.insecure-skip-tls-verify", kubeconfig(cluster={"insecure-skip-tls-verify": True})),
        ("clusters[1].cluster.server", kubeconfig(cluster={"server": "http://127.0.0.1:8080"})),
        ("clusters[1].cluster.server", kubeconfig(cluster={"server": "https://u:p@host"})),
        ("clusters[1].cluster.server", kubeconfig(cluster={"server": "https://host:port"})),
        ("clusters[1].cluster.server", kubeconfig(cluster={"server": None})),
        ("clusters[1].cluster.proxy-url", kubeconfig(cluster={"proxy-url": "socks5://host:1"})),
        ("current-context", kubeconfig() | {"current-context": ""}),
        ("contexts", kubeconfig(contexts=[])),
        ("contexts", kubeconfig(contexts=[{"name": "x", "context": {}} for _ in "ab"])),
        ("clusters", kubeconfig(clusters=None)),
        ("users", kubeconfig(users=[{"name": "v", "user": {"token": "a"}}])),
        ("users[0].user", kubeconfig(users=[{"name": "u", "user": "token"}])),
    ],
)
def test_refused_for_members(field: str, config: Config) -> None:
    problems = check_kubeconfig(yaml.safe_dump(config))
    assert isinstance(problems, list)
    assert field in [problem.field for problem in problems]
    assert all(problem.message and problem.remedy for problem in problems)
    with pytest.raises(KubeconfigError):
        member_client(yaml.safe_dump(config))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "- a",
        "a: !!python/object/apply:os.system [id]",
        "a: &a {}\nb: {<<: [*a, *a]}",
        "a: " + "[" * 9_000 + "]" * 9_000,
        "[" * 500_000,
        "- a\n" * 250_000,
        "#" * 1_048_577,
    ],
    ids=lambda text: text[:12],
)
def test_refused_as_a_document(text: str) -> None:
    problems = check_kubeconfig(text)
    assert isinstance(problems, list)
    assert problems[0].field == "kubeconfig"


def test_every_problem_is_named_at_once_and_no_secret_with_it() -> None:
    config = kubeconfig(cluster={"server": "http://x"}, user={"exec": {"command": "s3cr3t"}, "password": "s3cr3t"})
    with pytest.raises(KubeconfigError) as raised:
        member_client(yaml.safe_dump(config))
    assert len(raised.value.problems) == 3
    assert "s3cr3t" not in str(raised.value)


def test_accepted_and_shown_without_secrets() -> None:
    config = kubeconfig(cluster={"tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128"})
    checked = check_kubeconfig(yaml.safe_dump(config))
    assert checked == ConnectionSettings(
        server="https://api.member.example:6443",
        ca_pem=PEM,
        token="abc",
        tls_server_name="kubernetes",
        proxy="http://proxy:3128",
    )
    assert "abc" not in repr(checked)


def test_what_the_context_does_not_select_is_not_looked_at() -> None:
    config = kubeconfig()
    config["users"].append({"name": "other", "user": {"exec": {"command": "x"}}})
    assert isinstance(check_kubeconfig(yaml.safe_dump(config)), ConnectionSettings)


# -- real TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issue() -> Callable[[str], Pair]:
    """Issues pairs signed by one CA; "ca" gives the CA's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def issue(name: str) -> Pair:
        own = key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        authority = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("ca"))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        return pem, own.private_bytes(serialization.Encoding.PEM, form, plain).decode()

    return issue


async def served(*, ca: Pair, pair: Pair, folder: Path) -> tuple[web.AppRunner, str]:
    """A TLS server that tells who its client is, by certificate and by token."""

    async def whoami(request: web.Request) -> web.Response:
        assert request.transport is not None
        subject = (request.transport.get_extra_info("peercert") or {}).get("subject", ())
        name = subject[0][0][1] if subject else None
        return web.json_response({"certificate": name, "authorization": request.headers.get("Authorization")})

    (folder / "server.pem").write_text("".join(pair))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca[0])
    context.load_cert_chain(folder / "server.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    app = web.Application()
    app.router.add_get("/version", whoami)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_member_is_reached_by_certificate_and_token_and_leaves_no_file(
    issue: Callable[[str], Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, server, client = issue("ca"), issue("server"), issue("domicile")
    runner, url = await served(ca=ca, pair=server, folder=tmp_path)
    empty = tmp_path / "tmp"
    empty.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(empty))
    by_key = {"client-certificate-data": b64(client[0]), "client-key-data": b64(client[1])}
    config = kubeconfig(cluster={"server": url, "certificate-authority-data": b64(ca[0])}, user=by_key)
    async with member_client(yaml.safe_dump(config)) as member:
        assert await member.get("/version") == {"certificate": "domicile", "authorization": "Bearer abc"}
    monkeypatch.delattr(os, "memfd_create", raising=False)  # where there is none
    async with member_client(yaml.safe_dump(config)) as member:
        assert (await member.get("/version"))["certificate"] == "domicile"
    assert not list(empty.iterdir())
    config["clusters"][1]["cluster"]["tls-server-name"] = "elsewhere"
    async with member_client(yaml.safe_dump(config)) as misled:
        with pytest.raises(Unavailable, match="elsewhere"):
            await misled.get("/version")
    await runner.cleanup()


async def test_a_server_of_another_authority_is_not_talked_to(issue: Callable[[str], Pair], tmp_path: Path) -> None:
    ca = issue("ca")
    runner, url = await served(ca=ca, pair=issue("server"), folder=tmp_path)
    foreign = issue("server")  # an end certificate is no authority
    config = kubeconfig(cluster={"server": url, "certificate-authority-data": b64(foreign[0])})
    async with member_client(yaml.safe_dump(config)) as member:
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await member.get("/version")
    await runner.cleanup()


@pytest.mark.parametrize("field", ["certificate-authority-data", "client-key-data"])
def test_pem_that_openssl_cannot_read_is_refused(issue: Callable[[str], Pair], field: str) -> None:
    good, other = issue("a"), issue("b")
    user = {"client-certificate-data": b64(good[0]), "client-key-data": b64(other[1])}
    authority = PEM if field == "certificate-authority-data" else good[0]
    config = kubeconfig(cluster={"certificate-authority-data": b64(authority)}, user=user)
    with pytest.raises(KubeconfigError, match=field):
        member_client(yaml.safe_dump(config))


# -- the hub -----------------------------------------------------------------------------------------------------


async def test_the_users_own_kubeconfig_may_name_files_relative_to_itself(
    issue: Callable[[str], Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = issue("ca")
    runner, url = await served(ca=ca, pair=issue("server"), folder=tmp_path)
    (tmp_path / "ca.pem").write_text(ca[0])
    (tmp_path / "token").write_text("from-file\n")
    cluster = {"server": url, "certificate-authority-data": None, "certificate-authority": "ca.pem"}
    config = kubeconfig(cluster=cluster, user={"token": None, "tokenFile": "token"})
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump({"current-context": "x", "contexts": config.pop("contexts")}))
    second.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(first), str(second), str(tmp_path / "missing")]))
    async with connect.hub_client() as hub:
        assert (await hub.get("/version"))["authorization"] == "Bearer from-file"
    await runner.cleanup()


async def test_the_users_own_kubeconfig_may_run_a_program(tmp_path: Path) -> None:
    answer = '{"apiVersion":"v1","kind":"ExecCredential","status":{"token":"t1"}}'
    good = connect.exec_token({"apiVersion": "v1", "command": "echo", "args": [answer]})
    assert await good() == "t1"
    with pytest.raises(Unauthorized, match="credential program"):
        await connect.exec_token({"apiVersion": "v1", "command": str(tmp_path / "missing")})()


async def test_plain_http_is_for_the_loopback_without_credentials(tmp_path: Path) -> None:
    path = tmp_path / "config"
    async with FakeApi() as api:
        path.write_text(yaml.safe_dump(kubeconfig(cluster={"server": api.url}, user={"token": None})))
        async with connect.hub_client(kubeconfig=str(path)) as hub:
            assert await hub.get("/version")
    refused: list[tuple[str, Config]] = [
        ("http://127.0.0.1:1", {"token": "abc"}),
        ("http://127.0.0.1:1", {"token": None, "tokenFile": "token"}),
        ("http://hub.example", {"token": None}),
    ]
    for server, user in refused:
        path.write_text(yaml.safe_dump(kubeconfig(cluster={"server": server}, user=user)))
        with pytest.raises(KubeconfigError, match="not https"):
            connect.hub_client(kubeconfig=str(path))


async def test_in_a_pod_the_rotated_token_is_read_again(tmp_path: Path) -> None:
    now = 0.0
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_text(PEM)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    assert connect.in_cluster(environment, folder=tmp_path)
    assert not connect.in_cluster({}, folder=tmp_path)
    settings, _ = connect.account_settings(tmp_path, environment=environment)
    assert settings.server == "https://[fd00::1]:443"
    token = connect.file_token(tmp_path / "token", clock=lambda: now)
    assert await token() == "one"
    (tmp_path / "token").write_text("two")
    assert await token() == "one"
    now = 61.0
    assert await token() == "two"
    (tmp_path / "token").unlink()
    now = 200.0
    async with KubeClient("http://127.0.0.1:1", token=token) as client:
        with pytest.raises(Unauthorized):
            await client.get("/version")
