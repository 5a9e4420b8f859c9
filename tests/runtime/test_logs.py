"""Log lines: their shape, and what never gets into them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from domicile.runtime.logs import configure, redact


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_extra_fields(stream: io.StringIO) -> None:
    configure("INFO", stream=stream)
    log = logging.getLogger("domicile.reconcile")
    log.info("placed %s\non %s", "ns/a", "berlin", extra={"key": "ns/a", "digest": "sha256:0", "level": 3})
    log.debug("not shown")
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "domicile.reconcile",
        "message": "placed ns/a\non berlin",
        "key": "ns/a",
        "digest": "sha256:0",
        "level_": 3,
    }


def test_kopf_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("kopf.objects").addHandler(logging.StreamHandler())
    configure("INFO", stream=stream)
    logging.getLogger("kopf.objects").info(
        "seen", extra={"k8s_skip": True, "settings": object(), "k8s_ref": {"name": "a"}}
    )
    (line,) = lines(stream)
    assert line["object"] == {"name": "a"}
    assert not logging.getLogger("kopf.objects").handlers
    assert not {"k8s_skip", "settings", "k8s_ref"} & line.keys()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_gets_through_anywhere(stream: io.StringIO, as_json: bool) -> None:
    configure("DEBUG", json=as_json, stream=stream)
    log = logging.getLogger("x")
    log.info(
        "sent %s",
        {"Authorization": "Bearer s3cr3t-s3cr3t"},
        extra={"token": "s3cr3t", "body": {"client-key-data": "s3cr3t"}},
    )
    try:
        raise ValueError("token: s3cr3t")
    except ValueError:
        log.exception("failed", extra={"deep": [{"password": "s3cr3t"}]})
    assert "s3cr3t" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 5
    assert "ValueError" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abcdef123", "Authorization: [redacted] [redacted]"),
        ("    token: abc.def", "    token: [redacted]"),
        ('{"token":"abc","user":"u"}', '{"token":"[redacted]","user":"u"}'),
        ('"{\\"token\\": \\"abc\\"}"', '"{\\"token\\": \\"[redacted]\\"}"'),
        ("client-key-data: LS0tLS1=", "client-key-data: [redacted]"),
        ("-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----", "[redacted]"),
        ("got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "got [redacted]"),
        ("tokens: 12, ns/token-reviewer is fine", "tokens: 12, ns/token-reviewer is fine"),
    ],
)
def test_redact(text: str, masked: str) -> None:
    assert redact(text) == masked
