"""docs/decision-log.md is enough to write a verifier: one that uses nothing of Domicile, and the page's example."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.evidence.making import KEY, opened, record, small_segments

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "decision-log.md").read_text(encoding="utf-8")


def leaf(line: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + line).digest()


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def opened_note(note: str, *, vkey: str) -> tuple[str, int, bytes]:
    """(origin, size, root) of a checkpoint with one signature."""
    text, signature = note.split("\n\n")
    name, key_id, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    assert key[0] == 1 and hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
    dash, signer, raw = signature.removesuffix("\n").split(" ")
    assert (dash, signer, base64.b64decode(raw)[:4].hex()) == ("\u2014", name, key_id)
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(base64.b64decode(raw)[4:], (text + "\n").encode())
    origin, size, root = text.split("\n")
    assert origin == name
    return origin, int(size), base64.b64decode(root)


def check_lines(lines: list[bytes]) -> list[bytes]:
    """The leaves of lines that follow each other as the page says. Payloads here are ASCII without fractions."""
    leaves: list[bytes] = []
    for seq, line in enumerate(lines):
        body = json.loads(line)
        assert json.dumps(body, sort_keys=True, separators=(",", ":")).encode() == line
        assert body["seq"] == seq and body["prev"] == (leaves[-1].hex() if leaves else "0" * 64)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["time"])
        leaves.append(leaf(line))
    return leaves


def test_a_stranger_s_verifier_agrees_with_what_is_written(tmp_path: Path) -> None:
    with opened(tmp_path, limits=small_segments(3)) as log:
        for number in range(8):
            log.append([record(number)])
            if number in (2, 6):
                log.write_checkpoint()
    lines: list[bytes] = []
    for segment in sorted((tmp_path / "segments").iterdir()):
        assert int(segment.name.removesuffix(".jsonl")) == len(lines)
        lines += segment.read_bytes().removesuffix(b"\n").split(b"\n")
    leaves = check_lines(lines)
    sizes = []
    for path in sorted((tmp_path / "checkpoints").iterdir()):
        _, size, root = opened_note(path.read_text(encoding="utf-8"), vkey=KEY.verifier.vkey)
        assert path.name == f"{size:020}.txt" and root == tree(leaves[:size])
        sizes.append(size)
    assert (len(lines), sizes) == (8, [0, 3, 7, 8])


def test_the_example_of_the_page() -> None:
    blocks = re.findall(r"```(?:json)?\n(.*?)```", PAGE, flags=re.DOTALL)
    lines = [block.removesuffix("\n").encode() for block in blocks if block.startswith("{")]
    note, vkey = (block for block in blocks if block.startswith("domicile.example/"))
    leaves = check_lines(lines)
    assert opened_note(note, vkey=vkey.strip()) == ("domicile.example/hub", len(lines), tree(leaves))
    assert leaves[0].hex() in PAGE
