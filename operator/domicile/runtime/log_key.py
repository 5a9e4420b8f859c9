"""The signing key of the decision log: read from its file, or made at the first start."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from typing import Final

from domicile.evidence.checkpoint import CheckpointInvalid, SignerKey, generate_key
from domicile.evidence.durable import replace_file, sync_directory, write_all

log = logging.getLogger(__name__)

ORIGIN: Final = "domicile.dev/decisions"
PRIVATE: Final = 0o600
OTHERS: Final = 0o007


class KeyUnusable(Exception):
    """The key cannot be used as it is; the message says what to do."""


def signing_key(path: Path, *, make: bool) -> SignerKey:
    """The key in ``path``; where there is none and ``make`` is set, a new one, with its public part beside it.

    Raises `KeyUnusable`, and `OSError` where the storage refuses.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not make:
            remedy = "restore the key, or move the log away to begin a new one"
            raise KeyUnusable(f"{path} is missing, and the log was signed with it; {remedy}") from None
        text = _made(path)
    except UnicodeDecodeError:
        raise KeyUnusable(f"{path} is no text; name a file that holds a signer key, or none to have it made") from None
    try:
        key = SignerKey.parse(text)
    except CheckpointInvalid as error:
        raise KeyUnusable(
            f"{path}: {error}; name a file that holds a signer key, or remove it to have one made"
        ) from None
    if path.stat().st_mode & OTHERS:
        log.warning("anyone on this machine can read %s: whoever has the key can rewrite the log", path)
    _publish(path, key)
    return key


def public_path(path: Path) -> Path:
    """Where the public part of the key in ``path`` lies."""
    return path.with_name(path.name + ".pub")


def _made(path: Path) -> str:
    """The text of a new key, under a name of its own: every log has its own origin. Where another opener was first,
    the text of its key, which may have signed something already."""
    key = generate_key(f"{ORIGIN}/{secrets.token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        try:
            write_all(descriptor, data=(key.skey + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, path)  # a rename would replace a key that came meanwhile
    except FileExistsError:
        return path.read_text(encoding="utf-8")
    finally:
        temporary.unlink()
    sync_directory(path.parent)
    log.warning("made a signing key; keep %s where the operator cannot write", public_path(path))
    return key.skey


def _publish(path: Path, key: SignerKey) -> None:
    """Put the public part beside the key. A mounted Secret takes no file: then the status and the log have it."""
    public, text = public_path(path), key.verifier.vkey
    try:
        if not public.exists():
            replace_file(public, data=(text + "\n").encode())
        elif public.read_text(encoding="utf-8").strip() != text:
            log.warning("%s is not the public part of %s", public, path)
    except (OSError, UnicodeDecodeError):
        log.info("the public key is not beside %s: %s", path, text)
