"""The rules one crawl goes by: loaded at the start, renewed with the blocklist, entered before they count."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blocklists.model import BlocklistError
from crawler.listing import Listing, ListRefusedError
from crawler.options import Fault, Options
from provenance import entry as leaves
from provenance.disk import Disk, replace
from provenance.installed import suffix_list_digest
from provenance.rules import Rules
from reservations.datafile import DefinitionError

if TYPE_CHECKING:
    from crawler.recorder import Recorder


class RulesInForce:
    """Policy, protocols and blocklist of one crawl, and the `seq` of the entry that names them.

    Args:
        rules: loaded at the start.
        listing: the blocklist's build; None when the operator has stated why there is none.
        rules_folder: `log/rules` of the output, where everything in force is kept beside the log.

    Attributes:
        rules: in force now.
        config: `seq` of their `config` entry; -1 before the first.
    """

    def __init__(self, rules: Rules, listing: Listing | None, rules_folder: Path) -> None:
        self.rules, self.listing = rules, listing
        self.config = -1
        self._folder = rules_folder
        self._renewing = asyncio.Lock()

    @classmethod
    def load(cls, options: Options, tokens: tuple[str, ...]) -> tuple[RulesInForce | None, list[Fault]]:
        """The rules that the settings name, or every fault in them."""
        listing, faults = _listing(options)
        try:
            listed = (listing.blocklist, listing.manifest) if listing else None
            rules = Rules.load(tokens=tokens, policy=options.policy, blocklist=listed, data=options.data)
        except DefinitionError as error:
            remedy = "mend the line named; `knockfirst lint` checks it"
            policy = str(options.policy) if options.policy else ""
            return None, faults + [
                Fault("KNOCKFIRST_POLICY" if fault.file == policy else "KNOCKFIRST_DATA", str(fault), remedy)
                for fault in error.faults
            ]
        except OSError as error:
            fault = Fault("KNOCKFIRST_POLICY, KNOCKFIRST_DATA", str(error), "give files that can be read")
            return None, [*faults, fault]
        return cls(rules, listing, options.out / "log" / "rules"), faults

    def follows(self, last: leaves.ConfigEntry | None) -> None:
        """Whether the blocklist may follow the one that the log names last.

        Raises:
            BlocklistError: it may not.
        """
        if self.listing:
            self.listing.follows(last, self._folder)
            self.listing.adopted()

    async def enter(self, recorder: Recorder) -> None:
        """Keeps the rules beside the log and enters what they are."""
        self.config = await self._enter(self.rules, recorder)

    async def _enter(self, rules: Rules, recorder: Recorder) -> int:
        listed = rules.blocklist
        self._folder.mkdir(parents=True, exist_ok=True)
        bundle = self._folder / f"{rules.digest[7:]}.json"
        if not bundle.exists():
            replace(Disk(), bundle, rules.bundle.encode())
        if self.listing:
            await asyncio.to_thread(self.listing.keep, self._folder)
        return recorder.enter(
            leaves.ConfigEntry,
            rules=rules.digest,
            policy=rules.policy.digest,
            policy_name=f"{rules.policy.name} {rules.policy.version}",
            protocols=rules.registry.digest,
            blocklist=listed.digest if listed else "",
            blocklist_version=listed.version if listed else "",
            sources=tuple(
                leaves.Source(id=s.authority, date=str(s.latest_decision), country=s.country) for s in listed.sources
            )
            if listed
            else (),
            psl=suffix_list_digest(),
            weaker=tuple(leaves.Weaker(rule=w.rule, approver=w.approver, reason=w.reason) for w in rules.weakened),
        )

    def current(self) -> bool:
        """Whether these are still the rules to go by."""
        return self.listing is None or self.listing.current()

    async def renew(self, recorder: Recorder, *, ending: Callable[[], bool]) -> bool:
        """Puts a newer blocklist in force, before anything else is asked for. True when it is another than before.

        Raises:
            BlocklistError: the build in the folder cannot be relied on.
            ListRefusedError: it was refused before, and the crawl is ending.
        """
        listing = self.listing
        if listing is None:
            return False
        async with self._renewing:
            if ending():
                raise ListRefusedError("the blocklist is not in order, and the crawl is ending")
            changed = not listing.current() and await listing.renew()
            if changed:
                rules = self.rules.with_blocklist(listing.blocklist, listing.manifest)
                self.config, self.rules = await self._enter(rules, recorder), rules
            listing.adopted()
            return changed


def _listing(options: Options) -> tuple[Listing | None, list[Fault]]:
    if not (options.blocklist and options.blocklist_keys):
        return None, []
    memory = options.key.with_name(f"{options.key.name}.lists")
    listing = Listing(options.blocklist, options.blocklist_keys, memory, today=lambda: dt.datetime.now(dt.UTC).date())
    try:
        listing.accept()
    except BlocklistError as error:
        return None, [Fault("KNOCKFIRST_BLOCKLIST", str(error), "ask the staff who keep the list for a build")]
    return listing, []
