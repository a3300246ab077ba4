"""The blocklist in force of one crawl: accepted at the start, looked at before every request, renewed while it runs.

A build is accepted when it is signed, whole, of its time, and no step back from the one before. "The one before" is
remembered in two places: beside the key that signs logs, for every crawl of this operator with this list, and in the
log itself, for this crawl. A build that is not accepted stops the crawl: going on with the old list would keep names
in that staff has taken out, and the other way round, and nobody would know.

CoP Copyright 1.2(b), https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from blocklists.build import check_age, check_succession
from blocklists.match import Blocklist, read_manifest
from blocklists.model import BlocklistError
from provenance import builds
from provenance.disk import Disk, replace
from provenance.entry import ConfigEntry
from provenance.rules import Bundle

#: Programs that copy a build put its files in place one by one; until they fit, nothing is asked for.
SETTLE_S: Final = 3.0
_AGAIN_S: Final = 0.1

_State = tuple[int, int, int]


class ListRefusedError(Exception):
    """No list can be relied on any more, so nothing may be asked for."""


class Listing:
    """The build in a folder, and what was accepted of it.

    Args:
        folder: of the build.
        keys: public keys of staff who may sign.
        memory: folder for what was accepted, beside the key that signs logs.
        today: the day, UTC.
        settle_s: how long files that do not fit are looked at again.
    """

    def __init__(
        self,
        folder: Path,
        keys: tuple[str, ...],
        memory: Path,
        *,
        today: Callable[[], dt.date],
        settle_s: float = SETTLE_S,
    ) -> None:
        self.folder, self._keys, self._today, self._settle_s = folder, keys, today, settle_s
        self._path = str(folder / builds.MANIFEST)
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._memory = memory / f"{name}.json"
        self._looked: tuple[_State | None, dt.date] | None = None
        self._in_force: tuple[_State | None, dt.date] | None = None
        self.blocklist: Blocklist
        self.manifest = b""

    def accept(self) -> None:
        """Takes the build that lies in the folder, if it can be relied on today.

        Raises:
            BlocklistError: it cannot.
        """
        seen, today = self._state(), self._today()
        previous = self.manifest or self._remembered()
        blocklist, manifest = builds.load_build(self.folder, keys=self._keys, today=today, previous=previous)
        if not blocklist.has_eu_source:
            raise BlocklistError(
                "It holds no name that a court or authority of the EU or EEA decided on.",
                str(self.folder),
                "Compile it with at least one dated EU/EEA source, or use KNOCKFIRST_NO_BLOCKLIST instead.",
            )
        self.blocklist, self.manifest = blocklist, manifest
        self._looked = (seen, today)

    def adopted(self) -> None:
        """Notes that the build accepted last is the one in force."""
        self._in_force = self._looked

    def keep(self, rules: Path) -> None:
        """Puts the readable list beside the log and remembers the build for the crawls to come.

        Raises:
            BlocklistError: the list cannot be copied, or the memory cannot be written.
        """
        target = rules / f"blocklist-{self.blocklist.digest.partition(':')[2]}.jsonl"
        builds.keep_list(self.folder, self.blocklist, target)
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            replace(Disk(), self._memory, self.manifest, writer=f".{os.getpid()}")  # beside other workers
        except OSError as fault:
            raise BlocklistError(
                f"What was accepted cannot be remembered: {fault.strerror}.", str(self._memory), "Look at its rights."
            ) from fault

    def follows(self, config: ConfigEntry | None, rules: Path) -> None:
        """Whether the build may follow the one that this crawl's log names last.

        Raises:
            BlocklistError: it may not, or the log's list cannot be read any more.
        """
        if config is None or not config.blocklist:
            return
        path = rules / f"{config.rules.partition(':')[2]}.json"
        try:
            bundle = msgspec.json.decode(path.read_bytes(), type=Bundle)
        except (OSError, msgspec.DecodeError) as fault:
            raise BlocklistError(
                f"The rules that the log names last cannot be read: {fault}.", str(path), "Restore the output folder."
            ) from fault
        check_succession(read_manifest(bundle.blocklist_manifest.encode()), self.blocklist.manifest)

    def current(self) -> bool:
        """Whether the build in force is the one in the folder, and was judged today. Costs one look at a file."""
        return (self._state(), self._today()) == self._in_force

    async def renew(self) -> bool:
        """Takes what lies in the folder now, to be put in force. True when it is another build than before.

        Raises:
            BlocklistError: it cannot be relied on, also after a while.
        """
        before = self.manifest
        state, today = self._state(), self._today()
        if self._in_force is not None and state == self._in_force[0]:  # another day has begun
            check_age(self.blocklist.manifest, today)
            self._looked = (state, today)
            return False
        patience = time.monotonic() + self._settle_s
        while True:
            try:
                await asyncio.to_thread(self.accept)
            except BlocklistError:
                if time.monotonic() >= patience:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return self.manifest != before

    def _remembered(self) -> bytes | None:
        try:
            return self._memory.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise BlocklistError(
                f"What was accepted before cannot be read: {fault.strerror}.", str(self._memory), "Look at its rights."
            ) from fault

    def _state(self) -> _State | None:
        """What tells one manifest from the next without reading it; None when there is none."""
        try:
            found = os.stat(self._path)  # noqa: PTH116  (asked for before every step of every attempt)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
