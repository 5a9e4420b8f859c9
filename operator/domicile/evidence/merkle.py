"""RFC 6962 section 2.1: Merkle tree hashes, and proofs over them. Pure.

A leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), an empty tree SHA-256(""). The tree over n > 1
leaves splits at the largest power of two below n. Hashes are 32 raw bytes throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


class ProofInvalid(ValueError):
    """A proof does not lead to the root that it should lead to."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A growing tree as the roots of its complete subtrees, largest first: one hash per set bit of `size`."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.roots) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves is not made of {len(self.roots)} complete subtrees")

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """The tree after `leaves` (leaf hashes) were appended; O(1) hashes for each on average."""
        size, roots = self.size, list(self.roots)
        for leaf in leaves:
            full, joined = size, leaf
            while full & 1:  # a subtree of this height is complete already: join the two
                joined, full = node_hash(roots.pop(), joined), full >> 1
            roots.append(joined)
            size += 1
        return Frontier(size, tuple(roots))

    @property
    def root(self) -> bytes:
        """The tree hash; `EMPTY_ROOT` without leaves."""
        if not self.roots:
            return EMPTY_ROOT
        right = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            right = node_hash(left, right)
        return right


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree hash over leaf hashes."""
    return Frontier().extended(leaves).root


def inclusion_proof(leaves: Sequence[bytes], *, index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index` in the tree over `leaves` (section 2.1.1), from the leaf upwards."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low = middle
    return tuple(reversed(path))


def consistency_proof(leaves: Sequence[bytes], *, old_size: int) -> tuple[bytes, ...]:
    """That the tree over `leaves[:old_size]` is a prefix of the tree over `leaves` (section 2.1.2)."""
    if not 0 < old_size <= len(leaves):
        raise ValueError(f"no tree of {old_size} leaves to be extended to {len(leaves)}")
    path: list[bytes] = []
    low, high, whole = 0, len(leaves), True  # whole: the old tree's root at this place is the one the verifier holds
    while old_size < high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(root(leaves[middle:high]))
            high = middle
        else:
            path.append(root(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        path.append(root(leaves[low:high]))
    return tuple(reversed(path))


def verify_inclusion(proof: Sequence[bytes], *, leaf: bytes, index: int, size: int, expected_root: bytes) -> None:
    """Check that `leaf` (a leaf hash) is number `index` of the tree of `size` leaves. Raises `ProofInvalid`."""
    if not 0 <= index < size:
        raise ProofInvalid(f"there is no leaf {index} in a tree of {size}")
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("the inclusion proof is too long")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place and not place & 1:  # a right edge without a sibling on this level: climb on
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ProofInvalid("the inclusion proof is too short")
    if found != expected_root:
        raise ProofInvalid(f"leaf {index} is not in the tree of {size} with root {expected_root.hex()}")


def verify_consistency(
    proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int, new_root: bytes
) -> None:
    """Check that the new tree begins with all leaves of the old one (RFC 9162 2.1.4.2). Raises `ProofInvalid`."""
    if not 0 < old_size <= new_size:
        raise ProofInvalid(f"a tree of {new_size} leaves cannot extend one of {old_size}")
    if old_size == new_size:
        if proof:
            raise ProofInvalid("trees of one size need no consistency proof")
        old, new, last = old_root, new_root, 0
    else:
        old, new, last = _climb(proof, old_size=old_size, old_root=old_root, new_size=new_size)
    if last:
        raise ProofInvalid("the consistency proof is too short")
    if old != old_root or new != new_root or (old_size == new_size and old != new):
        raise ProofInvalid(f"the tree of {new_size} leaves does not extend the tree of {old_size}")


def _climb(proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int) -> tuple[bytes, bytes, int]:
    """(old root, new root, levels missing) that the proof leads to."""
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # a complete subtree: its root is what the verifier holds
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid("the consistency proof is empty")
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid("the consistency proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return old, new, last


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
