"""Checkpoints of the log: what was signed when the log had so many records.

A checkpoint is a signed note (c2sp.org/signed-note) whose text is origin, size and root (c2sp.org/tlog-checkpoint),
signed with Ed25519 (RFC 8032, signature type 0x01). Keys travel in the text forms of that format: `vkey` for whoever
verifies, `skey` for whoever signs. Pure, but for `generate_key`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domicile.evidence.merkle import HASH_SIZE

ED25519: Final = b"\x01"
MAX_NOTE: Final = 1 << 20  # bytes
MAX_SIGNATURES: Final = 100
MAX_SIZE: Final = 2**63 - 1  # records
SKEY_PREFIX: Final = "PRIVATE+KEY+"
_DASH: Final = "— "  # the em dash and space that begin a signature line
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointInvalid(ValueError):
    """A checkpoint, a note or a key is not what it should be; the message says where."""


class UnknownKey(CheckpointInvalid):
    """No signature on the checkpoint is by a key that the caller knows."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under. `vkey` is its text form."""

    name: str
    public: bytes  # 32 bytes, RFC 8032

    @property
    def key_id(self) -> bytes:
        """Four bytes: SHA-256(name || 0x0A || 0x01 || public key), cut."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """`<name>+<key id>+<base64 of 0x01 and the public key>`."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(ED25519 + self.public)}"

    @property
    def label(self) -> str:
        """Name and key id, for messages."""
        return f"{self.name}+{self.key_id.hex()}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read the text form. Raises `CheckpointInvalid`."""
        name, key_id, public = _parse_key(vkey.strip(), what="verifier key")
        key = cls(name, public)
        if key.key_id != key_id:
            raise CheckpointInvalid(f"verifier key {name}: key id is {key_id.hex()}, its bytes give {key.key_id.hex()}")
        return key


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key with the name it signs under, which is the origin of the log. Its repr does not show the seed."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes, RFC 8032

    @property
    def verifier(self) -> VerifierKey:
        """What others verify with."""
        return VerifierKey(self.name, self._private().public_key().public_bytes_raw())

    @property
    def skey(self) -> str:
        """`PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the seed>`: a secret."""
        return f"{SKEY_PREFIX}{self.verifier.label}+{_base64(ED25519 + self.seed)}"

    @classmethod
    def parse(cls, skey: str) -> SignerKey:
        """Read the text form. Raises `CheckpointInvalid`, never showing the seed."""
        text = skey.strip()
        if not text.startswith(SKEY_PREFIX):
            raise CheckpointInvalid(f"signer key: does not begin with {SKEY_PREFIX}")
        name, key_id, seed = _parse_key(text.removeprefix(SKEY_PREFIX), what="signer key")
        key = cls(name, seed)
        if (wanted := key.verifier.key_id) != key_id:
            raise CheckpointInvalid(f"signer key {name}: key id is {key_id.hex()}, its bytes give {wanted.hex()}")
        return key

    def sign(self, text: bytes) -> bytes:
        """The 64-byte signature over a note's text."""
        return self._private().sign(text)

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def generate_key(name: str) -> SignerKey:
    """A new key from the system's randomness. `name` becomes the origin: a schema-less URL is customary."""
    _check_name(name, what="key")
    return SignerKey(name, Ed25519PrivateKey.generate().private_bytes_raw())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log named `origin` had `size` records, whose tree hash (RFC 6962) was `root`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not verified."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def label(self) -> str:
        """Name and key id, for messages."""
        return f"{self.name}+{self.key_id.hex()}"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A parsed checkpoint. Nothing in it may be believed before `verified_by`."""

    checkpoint: Checkpoint
    signed: bytes = field(repr=False)
    signatures: tuple[Signature, ...] = ()

    def verified_by(self, keys: Iterable[VerifierKey]) -> VerifierKey:
        """The first of `keys` that signed it under the log's own name.

        Raises `UnknownKey` if none signed, `CheckpointInvalid` if one that should have did not.
        """
        known = {(key.name, key.key_id): key for key in keys if key.name == self.checkpoint.origin}
        found = None
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is None:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(line.signature, self.signed)
            except InvalidSignature:
                raise CheckpointInvalid(f"the signature of {line.label} does not match the text") from None
            found = found or key
        if found is None:
            signers = ", ".join(line.label for line in self.signatures)
            raise UnknownKey(f"signed for {self.checkpoint.origin} by {signers}, which is no known key of that log")
        return found


def sign(checkpoint: Checkpoint, *, keys: Sequence[SignerKey]) -> str:
    """The signed note. Each key's name must be the origin (the specification's SHOULD, held here as a must)."""
    _check_name(checkpoint.origin, what="origin")
    text = checkpoint.text
    lines = []
    for key in keys:
        if key.name != checkpoint.origin:
            raise CheckpointInvalid(f"key {key.name} cannot sign for {checkpoint.origin}")
        lines.append(f"{_DASH}{key.name} {_base64(key.verifier.key_id + key.sign(text.encode()))}\n")
    if not lines:
        raise CheckpointInvalid("a checkpoint needs a key to sign it")
    return text + "\n" + "".join(lines)


def parse(note: str | bytes) -> SignedCheckpoint:
    """Read a signed note that holds a checkpoint; extension lines are kept signed and ignored. `CheckpointInvalid`."""
    whole = _note_text(note)
    text, blank, tail = whole.rpartition("\n\n")
    if not blank:
        raise CheckpointInvalid("no blank line between text and signatures")
    if not tail.endswith("\n"):
        raise CheckpointInvalid("the last signature line is cut off")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointInvalid(f"{len(lines)} signatures; at most {MAX_SIGNATURES} are read")
    signatures = tuple(_signature(line, number=number) for number, line in enumerate(lines, start=1))
    return SignedCheckpoint(_body(text), (text + "\n").encode(), signatures)


def _note_text(note: str | bytes) -> str:
    raw = note.encode(errors="surrogatepass") if isinstance(note, str) else note
    if len(raw) > MAX_NOTE:
        raise CheckpointInvalid(f"larger than {MAX_NOTE} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise CheckpointInvalid(f"not UTF-8 at byte {error.start}") from None
    if bad := next((char for char in text if char < " " and char != "\n"), None):
        raise CheckpointInvalid(f"contains the control character {bad!r}")
    return text


def _body(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 3:
        raise CheckpointInvalid(f"{len(lines)} lines of text; origin, size and root are needed")
    origin, size, root = lines[:3]
    if not origin:
        raise CheckpointInvalid("line 1, the origin, is empty")
    if not _DECIMAL.fullmatch(size) or int(size) > MAX_SIZE:
        raise CheckpointInvalid(f"line 2, the size, is {size[:40]!r}; a decimal number without leading zeros is needed")
    digest = _unbase64(root, what="line 3, the root")
    if len(digest) != HASH_SIZE:
        raise CheckpointInvalid(f"line 3, the root, has {len(digest)} bytes and not {HASH_SIZE}")
    if "" in lines[3:]:
        raise CheckpointInvalid("an extension line is empty")
    return Checkpoint(origin, int(size), digest)


def _signature(line: str, *, number: int) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise CheckpointInvalid(f"signature line {number} is not of the form '{_DASH}<name> <base64>'")
    _check_name(name, what=f"signature line {number}: key")
    raw = _unbase64(encoded, what=f"signature line {number}")
    if len(raw) < 5:
        raise CheckpointInvalid(f"signature line {number} holds no signature")
    return Signature(name, raw[:4], raw[4:])


def _parse_key(text: str, *, what: str) -> tuple[str, bytes, bytes]:
    """(name, key id, 32 bytes) of a key's text form."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise CheckpointInvalid(f"{what}: not of the form <name>+<key id>+<base64>")
    name, key_id, encoded = parts
    _check_name(name, what=what)
    if not _KEY_ID.fullmatch(key_id):
        raise CheckpointInvalid(f"{what} {name}: the key id is not eight hexadecimal digits")
    raw = _unbase64(encoded, what=f"{what} {name}")
    if raw[:1] != ED25519 or len(raw) != 33:
        raise CheckpointInvalid(f"{what} {name}: not an Ed25519 key (type byte 0x01 and 32 bytes)")
    return name, bytes.fromhex(key_id), raw[1:]


def _check_name(name: str, *, what: str) -> None:
    if not name or "+" in name or any(char.isspace() or char < " " for char in name):
        raise CheckpointInvalid(f"{what} name {name[:80]!r}: it must not be empty nor hold spaces or '+'")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unbase64(text: str, *, what: str) -> bytes:
    """Strict RFC 4648 section 4: also refuses stray bits, so that one value has one text."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise CheckpointInvalid(f"{what} is not base64") from None
    if _base64(raw) != text:
        raise CheckpointInvalid(f"{what} is not base64 in its one valid form")
    return raw
