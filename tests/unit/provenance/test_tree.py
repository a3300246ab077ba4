"""The RFC 6962 tree: known roots, another implementation, and proofs that nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from provenance import tree

# The inputs and roots that Certificate Transparency implementations test with.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60" * 16)]
LEAVES[7] = bytes.fromhex("606162636465666768696a6b6c6d6e6f")
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
hashes = st.lists(st.binary(max_size=8).map(tree.leaf_hash), min_size=1, max_size=40)


def test_known_leaves_give_known_roots():
    frontier = tree.Frontier()
    assert frontier.root() == tree.EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(tree.leaf_hash(leaf))
        assert frontier.root().hex() == root


def test_leaves_added_in_parts_of_any_size_give_the_same_root():
    leaves = [tree.leaf_hash(b"%d" % index) for index in range(2_000)]
    for parts in ((2_000,), (256, 1_744), (1, 2, 1_997), (255, 1, 512, 1_232), (300, 212, 1_488)):
        frontier, at = tree.Frontier(), 0
        for part in parts:
            frontier.extend(leaves[at : at + part])
            at += part
            assert frontier.size == at
            assert frontier.root() == tree.root_of(leaves[:at])


def test_another_implementation_gives_same_roots():
    other, frontier = InmemoryTree(algorithm="sha256"), tree.Frontier()
    for index in range(130):
        line = f"entry {index}".encode()
        other.append_entry(line)
        frontier.append(tree.leaf_hash(line))
        assert other.get_root() == frontier.root()


def test_copy_grows_apart_from_original():
    frontier = tree.Frontier()
    frontier.append(tree.leaf_hash(b"a"))
    twin = frontier.copy()
    frontier.append(tree.leaf_hash(b"b"))
    assert (twin.size, twin.root()) == (1, tree.leaf_hash(b"a"))


@given(hashes, st.data())
def test_inclusion_proof_is_accepted_and_no_other(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = tree.root_of(leaves), tree.inclusion_proof(leaves, index)
    size = len(leaves)
    assert tree.included(leaves[index], index, size, proof, root)
    assert not tree.included(tree.leaf_hash(b"another leaf"), index, size, proof, root)
    assert not tree.included(leaves[index], size, size, proof, root)
    assert not tree.included(leaves[index], index, size, [*proof, root], root)
    if proof:
        assert not tree.included(leaves[index], index, size, proof[:-1], root)
        assert not tree.included(leaves[index], index, size, [*proof[:-1], bytes(32)], root)


@given(hashes, st.data())
def test_consistency_proof_is_accepted_and_no_other(leaves, data):
    old = data.draw(st.integers(1, len(leaves)))
    old_root, root = tree.root_of(leaves[:old]), tree.root_of(leaves)
    proof = tree.consistency_proof(leaves, old)
    assert tree.consistent(old, old_root, len(leaves), root, proof)
    assert not tree.consistent(old, bytes(32), len(leaves), root, proof)
    assert not tree.consistent(old, old_root, len(leaves), bytes(32), proof)
    assert not tree.consistent(old, old_root, len(leaves), root, [*proof, root])
    if proof:
        assert not tree.consistent(old, old_root, len(leaves), root, [bytes(32), *proof[1:]])


@pytest.mark.parametrize("call", [lambda: tree.inclusion_proof([], 0), lambda: tree.consistency_proof([bytes(32)], 2)])
def test_proof_of_what_is_not_there_is_refused(call):
    with pytest.raises(ValueError, match="no "):
        call()
