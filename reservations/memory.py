"""Remembers what was made from other values, by their identity, within a bound. Remembering changes no answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Memory(Generic[_T]):
    """Values by the identity of what they were made from, the least recently used forgotten first.

    The sources are held too, so that an identity cannot come back as another object.
    """

    def __init__(self, size: int) -> None:
        self._held: OrderedDict[Hashable, tuple[Sequence[object], _T]] = OrderedDict()
        self._size = size

    def get(self, sources: Sequence[object], key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of `make()`, made at most once while it is remembered."""
        name = (key, tuple(map(id, sources)))
        held = self._held.get(name)
        if held is not None:
            with suppress(KeyError):  # large files are read in threads: another may have forgotten it just now
                self._held.move_to_end(name)
            return held[1]
        value = make()
        self._held[name] = (tuple(sources), value)
        if len(self._held) > self._size:
            self._held.popitem(last=False)
        return value
