"""The short form of `python -m tests.fuzz`: the same inputs each time, a few for each reader."""

import random

import pytest
from fuzz import seeds
from fuzz.engine import Fuzzer, check
from fuzz.table import TARGETS, Target

ROUNDS = 60


@pytest.mark.fuzz
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_breaks_a_reader(target):
    found = seeds.of(*target.seeds)
    assert found, "a reader without seeds is hardly fuzzed"
    some = random.Random(target.name).sample(found, min(len(found), ROUNDS // 2))
    course = Fuzzer(target, some, random.Random(f"ci {target.name}"), 4096).run(lambda done: done >= ROUNDS)
    assert course.fault is None, course.fault


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda octets: 1 // (len(octets) - 3), "ZeroDivisionError"),
        (lambda octets: "x" * (1 << 20), "characters"),
        (lambda octets, turns=[]: turns.append(0) or len(turns), "answers differ"),
    ],
)
def test_faults_are_seen(call, what):
    fault, _ = check(Target("made up", call, ()), b"abc")
    assert fault is not None
    assert what in fault.what


def test_fault_is_shortened():
    target = Target("made up", lambda octets: octets.index(b"<") and 1 // (b"bad" not in octets), (), (ValueError,))
    start = random.Random(1)
    course = Fuzzer(target, [b"many words <and a bad one> among them"], start, 100).run(lambda done: done > 50)
    assert course.fault is not None
    assert course.fault.octets in (b"<bad", b"x<bad", b" <bad") or len(course.fault.octets) <= 6
