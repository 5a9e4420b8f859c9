"""Signed notes and checkpoints, against the published vectors of the formats and a table of what is wrong."""

from __future__ import annotations

import base64

import pytest

from domicile.evidence.checkpoint import (
    Checkpoint,
    CheckpointInvalid,
    SignerKey,
    UnknownKey,
    VerifierKey,
    generate_key,
    parse,
    sign,
)
from domicile.evidence.merkle import EMPTY_ROOT, leaf_hash
from tests.evidence.making import KEY, ORIGIN, OTHER_KEY

# The key pair and signature that golang.org/x/mod/sumdb/note is tested with.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="

# The example of c2sp.org/tlog-checkpoint.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
CHECKPOINT = Checkpoint(ORIGIN, 7, leaf_hash(b"x"))
NOTE = sign(CHECKPOINT, keys=[KEY])


def test_the_published_key_pair() -> None:
    key = SignerKey.parse(SKEY)
    assert key.verifier.vkey == VKEY == VerifierKey.parse(VKEY + "\n").vkey
    assert key.skey == SKEY
    signed = base64.b64encode(key.verifier.key_id + key.sign(TEXT.encode())).decode()
    assert signed == SIGNATURE


def test_the_published_checkpoint_is_read() -> None:
    signed = parse(EXAMPLE)
    assert (signed.checkpoint.origin, signed.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert signed.checkpoint.text == EXAMPLE.split("\n\n")[0] + "\n"
    assert [line.label for line in signed.signatures] == ["example.com/behind-the-sofa+033de0ae"]


def test_what_is_signed_is_verified() -> None:
    signed = parse(NOTE)
    assert signed.checkpoint == CHECKPOINT
    assert signed.verified_by([OTHER_KEY.verifier, KEY.verifier]) == KEY.verifier
    assert parse(sign(Checkpoint(ORIGIN, 0, EMPTY_ROOT), keys=[KEY])).checkpoint.size == 0


def test_a_generated_key_survives_its_text_form_and_does_not_show_itself() -> None:
    key = generate_key("domicile.example/log")
    assert key != generate_key("domicile.example/log")
    assert SignerKey.parse(key.skey) == key
    assert key.seed.hex() not in repr(key) and repr(key.seed) not in repr(key)


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    """So that witnesses can add theirs, and the log can change its key."""
    witness = f"— witness.example/w {base64.b64encode(b'abcd' + bytes(72)).decode()}\n"
    signed = parse(NOTE.replace("\n\n", "\n\n" + witness))
    assert signed.verified_by([KEY.verifier]) == KEY.verifier
    both = parse(sign(CHECKPOINT, keys=[KEY, OTHER_KEY]))
    assert both.verified_by([OTHER_KEY.verifier]) == OTHER_KEY.verifier


def test_a_key_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownKey, match=rf"{ORIGIN}\+{KEY.verifier.key_id.hex()}"):
        parse(NOTE).verified_by([OTHER_KEY.verifier])
    with pytest.raises(UnknownKey):
        parse(NOTE).verified_by([])


def test_another_log_s_key_does_not_count() -> None:
    """A trusted key of one log must not vouch for another log's checkpoint."""
    elsewhere = SignerKey("elsewhere.example/log", KEY.seed)
    line = base64.b64encode(elsewhere.verifier.key_id + elsewhere.sign(CHECKPOINT.text.encode())).decode()
    note = f"{CHECKPOINT.text}\n— {elsewhere.name} {line}\n"
    with pytest.raises(UnknownKey):
        parse(note).verified_by([elsewhere.verifier])
    with pytest.raises(CheckpointInvalid, match="cannot sign for"):
        sign(CHECKPOINT, keys=[elsewhere])


@pytest.mark.parametrize(("old", "new"), [("\n7\n", "\n8\n"), ("hub\n", "hub2\n"), ("\n\n", "\nextension\n\n")])
def test_a_changed_text_does_not_verify(old: str, new: str) -> None:
    changed = NOTE.replace(old, new, 1)
    name = changed.split("\n")[0]
    changed = changed.replace(f"— {ORIGIN} ", f"— {name} ")
    key = VerifierKey(name, KEY.verifier.public)
    with pytest.raises(CheckpointInvalid):
        parse(changed).verified_by([key, KEY.verifier])


def test_every_bit_of_a_note_matters() -> None:
    raw = NOTE.encode()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 0x01
        with pytest.raises(CheckpointInvalid):
            parse(bytes(changed)).verified_by([KEY.verifier])


ROOT64 = base64.b64encode(leaf_hash(b"x")).decode()
SIGNED = NOTE.split("\n\n")[1]


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ("", "no blank line"),
        (f"{ORIGIN}\n7\n{ROOT64}\n", "no blank line"),
        (f"{ORIGIN}\n7\n\n{SIGNED}", "2 lines of text"),
        (f"\n7\n{ROOT64}\n\n{SIGNED}", "origin, is empty"),
        (f"{ORIGIN}\n07\n{ROOT64}\n\n{SIGNED}", "line 2, the size, is '07'"),
        (f"{ORIGIN}\n-7\n{ROOT64}\n\n{SIGNED}", "line 2"),
        (f"{ORIGIN}\n\u0667\n{ROOT64}\n\n{SIGNED}", "line 2"),
        (f"{ORIGIN}\n9999999999999999999\n{ROOT64}\n\n{SIGNED}", "line 2"),
        (f"{ORIGIN}\n7\nroot!\n\n{SIGNED}", "line 3, the root is not base64"),
        (f"{ORIGIN}\n7\nAAAA\n\n{SIGNED}", "has 3 bytes and not 32"),
        (f"{ORIGIN}\n7\n{ROOT64[:-2]}F=\n\n{SIGNED}", "one valid form"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\nmore\n\n{SIGNED}", "extension line is empty"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n{SIGNED[:-1]}", "cut off"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n- {ORIGIN} AAAAAAAA\n", "signature line 1 is not of the form"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n{SIGNED}— {ORIGIN}\n", "signature line 2 is not of the form"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n— {ORIGIN} A?==\n", "signature line 1 is not base64"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n— {ORIGIN} AAAA\n", "holds no signature"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n— a+b AAAAAAAA\n", "must not be empty nor hold"),
        (f"{ORIGIN}\r\n7\n{ROOT64}\n\n{SIGNED}", "control character"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n" + SIGNED * 101, "101 signatures"),
        (b"\xff\n", "not UTF-8"),
        ("x" * 2_000_000, "larger than"),
    ],
)
def test_what_is_wrong_with_a_note_is_named(note: str | bytes, says: str) -> None:
    with pytest.raises(CheckpointInvalid, match=says.replace("+", r"\+")):
        parse(note)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("PeterNeumann", "not of the form"),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "key id is c74f20a4"),
        ("PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "key id is c74f20a3"),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "spaces"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "eight hexadecimal digits"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegw", "not an Ed25519 key"),
        ("PeterNeumann+c74f20a3+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "not an Ed25519 key"),
        ("PeterNeumann+c74f20a3+???", "not base64"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(key: str, says: str) -> None:
    with pytest.raises(CheckpointInvalid, match=says):
        VerifierKey.parse(key)
    with pytest.raises(CheckpointInvalid):
        SignerKey.parse("PRIVATE+KEY+" + key)


def test_a_public_key_is_not_taken_for_a_private_one() -> None:
    with pytest.raises(CheckpointInvalid, match="does not begin with"):
        SignerKey.parse(VKEY)
    with pytest.raises(CheckpointInvalid) as refused:
        SignerKey.parse(SKEY.replace("c74f20a3", "00000000"))
    assert SKEY[-20:] not in str(refused.value)
    with pytest.raises(CheckpointInvalid):
        generate_key("has space")
