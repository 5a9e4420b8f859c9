"""Canonical JSON (RFC 8785, JCS): one value, one sequence of bytes.

The rfc8785 package defines the result. It writes a 24 kB record in 2.6 ms, so values without the cases that need it
(fractions, integers beyond 2**53, keys outside ASCII) take the C encoder of the standard library, which gives the same
bytes in 0.4 ms; a property test holds the two together.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import rfc8785

SAFE: Final = 2**53 - 1  # RFC 8785 section 3.2.2.3: integers that every reader of doubles can hold


class NotCanonical(ValueError):
    """The value has no canonical form, or the bytes are not JSON."""


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of `value` (dict, list, tuple, str, int, float, bool, None). Raises `NotCanonical`."""
    try:
        return _encode(value).encode() if _plain(value) else rfc8785.dumps(value)
    except RecursionError:
        raise NotCanonical("nested too deeply, or contains itself") from None
    except UnicodeEncodeError as error:
        raise NotCanonical(f"text that is not Unicode: {error.reason}") from None
    except rfc8785.CanonicalizationError as error:
        raise NotCanonical(str(error)) from None


def parse(data: bytes) -> Any:
    """The value of one JSON text; `canonical(parse(b)) == b` for canonical `b` only. Raises `NotCanonical`."""
    try:
        return _decode(data.decode())
    except RecursionError:
        raise NotCanonical("nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError and what `_constant` raises
        raise NotCanonical(f"not JSON: {error}") from None


def _plain(value: Any) -> bool:
    """Whether the C encoder writes `value` as RFC 8785 wants it."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-SAFE <= value <= SAFE)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _plain(member) for key, member in value.items())
    return kind in (list, tuple) and all(map(_plain, value))


def _integer(digits: str) -> int | float:
    """RFC 8785 writes doubles up to 1e21 without an exponent, so a long integer was one."""
    return int(digits) if len(digits) < 16 or abs(int(digits[:32])) <= SAFE else float(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_int=_integer, parse_constant=_constant).decode
