"""Feeds a reader with seeds and with what becomes of them, and says where it fails.

A fault is an exception that is not announced, more CPU time or a longer answer than the input is worth, or two answers
to the same octets. Inputs that bring an answer of a kind not seen before are kept and changed further.
"""

from __future__ import annotations

import random
import re
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fuzz.table import Target

#: CPU seconds that any input may take, and for each octet more. Machines differ: this finds what grows without end.
LEAST_S, PER_OCTET_S = 0.4, 4e-6
#: Characters of an answer, and for each octet of the input more.
LEAST_LENGTH, PER_OCTET_LENGTH = 1 << 19, 100
_MOST_KEPT = 400
_MOST_SHORTENING_S = 10.0
_TELLING = re.compile(r'"(?:reason|carrier|verdict|issues|conditions)":(?:"[^"]{0,40}|\[[^\]]{0,80})')
_WORDS = re.compile(rb"[\w:./=-]{2,40}|[^\w\s]")
_ODD = (
    *(bytes([octet]) for octet in (0, 9, 10, 13, 32, 128, 255)),
    *b"< > </ <!-- --> <![CDATA[ ]]> & &#0; &#x110000; &amp; ' { } [ ] ( ) % %00 %zz * $ # : ; , =".split(),
    *rb'" \ \u0000 \ud800 \x00'.split(),
    *b"-1 0 1e999 99999999999999999999 NaN true null obj endobj stream /Length << >> uuid jumb ftyp".split(),
    b"\r\n\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff",
    b"PK\x03\x04", b"PK\x05\x06", b"\xed\xa0\x80", "\u0130\u017f\u212a\u202e\u200b\U0001f600".encode(),
)  # fmt: skip


class Fault(NamedTuple):
    """What went wrong, and with which octets."""

    target: str
    what: str
    octets: bytes


class Course(NamedTuple):
    """One reader's turn: how often it was called, and its first fault."""

    executions: int
    fault: Fault | None


class Fuzzer:
    """One reader, its seeds and what was found worth keeping.

    Args:
        target: the reader.
        seeds: what it is fed with at first.
        chance: where changes come from; the same start gives the same inputs.
        most: octets of an input.
    """

    def __init__(self, target: Target, seeds: Sequence[bytes], chance: random.Random, most: int) -> None:
        self.target, self._chance, self._most = target, chance, most
        self._waiting = [seed[:most] for seed in seeds] or [b""]
        self._kept: list[bytes] = list(self._waiting)
        self._seen: set[int] = set()
        self._words = sorted({word for seed in seeds[:200] for word in _WORDS.findall(seed[:20_000])})[:5000] or [b"a"]

    def run(self, until: Callable[[int], bool]) -> Course:
        """Goes on until a fault is found, or `until` says so of the number of inputs."""
        done = 0
        while not until(done):
            octets = self._waiting.pop() if self._waiting else self._changed()
            done += 1
            fault, answer = check(self.target, octets)
            if fault is not None:
                return Course(done, fault._replace(octets=shortened(self.target, fault)))
            kind = hash(frozenset(_TELLING.findall(answer)) or re.sub(r"\d+", "", answer[:40]))
            if kind not in self._seen:
                self._seen.add(kind)
                self._kept.append(octets)
                del self._kept[_MOST_KEPT * 2 :]
        return Course(done, None)

    def _changed(self) -> bytes:
        octets = bytearray(self._chance.choice(self._kept))
        for _ in range(1 << self._chance.randrange(4)):
            self._change(octets)
        return bytes(octets[: self._most])

    def _change(self, octets: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(octets) + 1)
        end = min(len(octets), at + 1 + int(chance.expovariate(1 / 12)))
        match chance.randrange(9):
            case 0 if octets:
                octets[at % len(octets)] ^= 1 << chance.randrange(8)
            case 1 if octets:
                octets[at % len(octets)] = chance.randrange(256)
            case 2:
                del octets[at:end]
            case 3:
                octets[at:at] = chance.choice(_ODD)
            case 4:
                octets[at:end] = chance.choice(_ODD)
            case 5:
                octets[at:at] = chance.choice(self._words)
            case 6:
                other = chance.choice(self._kept)
                start = chance.randrange(len(other) + 1)
                octets[at:end] = other[start : start + chance.randrange(1, 400)]
            case 7:
                times = int(self._most ** (chance.random() ** 2)) if chance.random() < 0.1 else 2
                octets[at:at] = bytes(octets[at:end]) * min(times, self._most // max(1, end - at))
            case _:
                octets[at:end] = (octets[at:end] or b"a").swapcase()


def check(target: Target, octets: bytes) -> tuple[Fault | None, str]:
    """The fault with some octets, if there is one, and the answer to them."""
    try:
        began = time.thread_time()
        answer = _answer(target, octets)
        took = time.thread_time() - began
        again = _answer(target, octets)
    except Exception:
        return Fault(target.name, traceback.format_exc(limit=-6), octets), ""
    limit = LEAST_S + PER_OCTET_S * len(octets)
    if took > limit and (took := min(_time(target, octets), _time(target, octets))) > limit:
        return Fault(target.name, f"takes {took:.1f} s of CPU for {len(octets)} octets", octets), answer
    if len(answer) > LEAST_LENGTH + PER_OCTET_LENGTH * len(octets):
        return Fault(target.name, f"answers with {len(answer)} characters to {len(octets)} octets", octets), answer
    if answer != again:
        return Fault(target.name, f"answers differ:\n{answer[:2000]}\n{again[:2000]}", octets), answer
    return None, answer


def _answer(target: Target, octets: bytes) -> str:
    try:
        answer = target.call(octets)
    except target.raises as error:
        return f"{type(error).__name__}: {error}"
    return answer if isinstance(answer, str) else repr(answer)


def _time(target: Target, octets: bytes) -> float:
    began = time.thread_time()
    _answer(target, octets)
    return time.thread_time() - began


def shortened(target: Target, fault: Fault) -> bytes:
    """Fewer octets with a fault of the same kind."""
    octets, size, end = fault.octets, len(fault.octets) // 2, time.thread_time() + _MOST_SHORTENING_S
    while size and time.thread_time() < end:
        at = 0
        while at < len(octets) and time.thread_time() < end:
            fewer = octets[:at] + octets[at + size :]
            found, _ = check(target, fewer)
            if found is not None and found.what.splitlines()[-1][:20] == fault.what.splitlines()[-1][:20]:
                octets = fewer
            else:
                at += size
        size //= 2
    return octets


def fuzzers(targets: Iterable[Target], seeds: Callable[..., tuple[bytes, ...]], start: str, most: int) -> list[Fuzzer]:
    """One for each target."""
    return [Fuzzer(target, seeds(*target.seeds), random.Random(f"{start} {target.name}"), most) for target in targets]
