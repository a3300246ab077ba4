"""How a fleet stands, for its operator: as one value, and as a table."""

from __future__ import annotations

from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from crawler.frontier.interface import LEASE_S, Block, Counts, Frontier, State, WorkerStatus
from provenance.terminal import plain

#: What each figure of `Counts` is, in the words that the table and the metrics use.
FIGURES: Final = {
    "queued": "URLs to be asked for",
    "leased": "URLs that a worker holds now",
    "hosts": "authorities ever seen",
    "seen": "URLs ever accepted",
    "waiting": "authorities with queued URLs of which none is due yet",
    "over_budget": "URLs dropped because their host or site had its fill",
    "blocked": "authorities blocked by an operator",
    "dead": "URLs given up without an answer",
    "lost": "leases that ran out, ever",
}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How a fleet stands at one moment.

    Attributes:
        state: what it is to do.
        counts: the frontier's figures.
        next_due_s: seconds until a URL may be asked for; 0 when one may now, None when nothing is queued.
        workers: every worker heard of.
        blocks: authorities left alone.
        now: seconds since 1970.
    """

    state: State
    counts: Counts
    next_due_s: float | None
    workers: list[WorkerStatus]
    blocks: list[Block]
    now: float

    def alive(self, worker: WorkerStatus) -> bool:
        """Whether a worker was heard of within the term of a lease: else it has lost what it held."""
        return self.now - worker.seen_at <= told(worker).lease_s


class Told(msgspec.Struct, frozen=True):
    """What a worker tells of itself with each renewal.

    Attributes:
        verdicts: final decisions by verdict, over the life of its log.
        under_way: URLs it is working on.
        rules: digest of the rules it goes by.
        lease_s: the term of its leases.
        ended: whether it has left in good order.
    """

    verdicts: dict[str, int] = {}
    under_way: int = 0
    rules: str = ""
    lease_s: float = LEASE_S
    ended: bool = False


def told(worker: WorkerStatus) -> Told:
    """What a worker tells; nothing, when it is not understood."""
    try:
        return msgspec.json.decode(worker.told, type=Told) if worker.told else Told()
    except msgspec.DecodeError:
        return Told()


async def account(frontier: Frontier, *, now: float) -> Account:
    """How the fleet on an open frontier stands."""
    due = await frontier.next_due()
    return Account(
        state=await frontier.state(),
        counts=await frontier.counts(),
        next_due_s=None if due is None else max(due - now, 0.0),
        workers=await frontier.workers(),
        blocks=await frontier.blocks(),
        now=now,
    )


def shown(one: Account) -> Group:
    """For a terminal."""
    due = "nothing is queued" if one.next_due_s is None else f"next URL due in {one.next_due_s:.1f} s"
    parts: list[RenderableType] = [Text(f"state {one.state}; {due}"), _figures(one), _workers(one)]
    return Group(*parts, _blocks(one)) if one.blocks else Group(*parts)


def _figures(one: Account) -> Table:
    table = Table("figure", "", "what it is")
    for name, what in FIGURES.items():
        table.add_row(name, f"{getattr(one.counts, name):,}", what)
    table.columns[1].justify = "right"
    return table


def _workers(one: Account) -> Table:
    table = Table("worker", "heard of", "holds", "decided", "kept", "rules")
    for worker in one.workers:
        said = told(worker)
        heard = f"{one.now - worker.seen_at:.0f} s ago"
        state = "ended" if said.ended else heard if one.alive(worker) else f"[red]{heard}: lost[/red]"
        decided, kept = sum(said.verdicts.values()), said.verdicts.get("kept", 0)
        row = (plain(worker.name), state, f"{worker.leases}", f"{decided:,}", f"{kept:,}", plain(said.rules)[7:19])
        table.add_row(*row)
    return table


def _blocks(one: Account) -> Table:
    table = Table("blocked", "until", "why")
    for block in one.blocks:
        until = "lifted by hand" if block.until is None else f"{block.until - one.now:.0f} s from now"
        table.add_row(Text(plain(block.authority)), until, Text(plain(block.reason)))
    return table
