"""RFC 6962: the known roots, and everything against the RFC's recursive definition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.evidence import merkle
from domicile.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots that Certificate Transparency implementations are tested with.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(f"record {number}".encode()) for number in range(count)]


def test_the_empty_tree() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size - 1]


@given(st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_tree_that_grows_in_steps_has_the_root_of_the_definition(steps: list[int]) -> None:
    leaves, frontier = leaves_of(sum(steps)), Frontier()
    for step in steps:
        frontier = frontier.extended(leaves[frontier.size : frontier.size + step])
        assert frontier.root == naive_root(leaves[: frontier.size])


def test_a_frontier_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="3 leaves"):
        Frontier(3, (EMPTY_ROOT,))


def test_inclusion_of_every_leaf_in_every_tree() -> None:
    for size in range(1, 34):
        leaves = leaves_of(size)
        for index in range(size):
            proof = inclusion_proof(leaves, index=index)
            verify_inclusion(proof, leaf=leaves[index], index=index, size=size, expected_root=naive_root(leaves))


def test_consistency_of_every_pair_of_trees() -> None:
    leaves = leaves_of(33)
    roots = [naive_root(leaves[:size]) for size in range(34)]
    for new in range(1, 34):
        for old in range(1, new + 1):
            proof = consistency_proof(leaves[:new], old_size=old)
            verify_consistency(proof, old_size=old, old_root=roots[old], new_size=new, new_root=roots[new])


@given(st.integers(2, 70), st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_inclusion_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = list(inclusion_proof(leaves, index=index)), naive_root(leaves)
    bad = data.draw(st.sampled_from(["hash", "shorter", "longer", "leaf", "root", "index", "size"]))
    leaf, claimed, of = leaves[index], index, size
    if bad == "hash":
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place] = leaf_hash(proof[place])
    elif bad == "shorter":
        proof.pop(data.draw(st.integers(0, len(proof) - 1)))
    elif bad == "longer":
        proof.insert(data.draw(st.integers(0, len(proof))), leaf)
    elif bad == "leaf":
        leaf = leaf_hash(leaf)
    elif bad == "root":
        root = leaf_hash(root)
    elif bad == "index":
        claimed = data.draw(st.integers(-1, size).filter(lambda other: other != index))
    else:
        of = index
    with pytest.raises(ProofInvalid):
        verify_inclusion(proof, leaf=leaf, index=claimed, size=of, expected_root=root)


@given(st.integers(2, 70), st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_consistency_proof_proves_nothing(new: int, data: st.DataObject) -> None:
    leaves = leaves_of(new)
    old = data.draw(st.integers(1, new))
    proof = list(consistency_proof(leaves, old_size=old))
    old_root, new_root = naive_root(leaves[:old]), naive_root(leaves)
    bad = data.draw(st.sampled_from(["hash", "shorter", "longer", "old root", "new root"]))
    if bad in ("hash", "shorter") and proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [leaf_hash(proof[place])] if bad == "hash" else []
        proof[place : place + 1] = changed
    elif bad == "old root":
        old_root = leaf_hash(old_root)
    elif bad == "new root":
        new_root = leaf_hash(new_root)
    else:
        proof.insert(data.draw(st.integers(0, len(proof))), old_root)
    with pytest.raises(ProofInvalid):
        verify_consistency(proof, old_size=old, old_root=old_root, new_size=new, new_root=new_root)


@pytest.mark.parametrize(("old", "new"), [(0, 4), (5, 4), (-1, 4)])
def test_sizes_that_no_consistency_proof_is_for(old: int, new: int) -> None:
    with pytest.raises(ProofInvalid):
        verify_consistency([], old_size=old, old_root=EMPTY_ROOT, new_size=new, new_root=naive_root(leaves_of(4)))
    with pytest.raises(ValueError, match="no tree"):
        consistency_proof(leaves_of(new), old_size=old)


def test_a_consistency_proof_for_a_smaller_tree_is_too_short() -> None:
    leaves = leaves_of(2)
    proof = consistency_proof(leaves, old_size=1)
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(proof, old_size=1, old_root=leaves[0], new_size=3, new_root=naive_root(leaves))
