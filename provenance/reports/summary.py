"""The public summary of training content: what a crawl's log answers of it by itself, sections 2.3 and 3.

The AI Act (Regulation (EU) 2024/1689) Art. 53(1)(d) asks for the summary, the Commission's template of 24 July 2025
(C(2025) 5235) says how. Field codes are the template's. What the log cannot know is left to the provider, with the
question. Counted are pages that are stored and were open for a use that trains: what was removed later is not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from provenance.entry import ConfigEntry, RunEntry
from provenance.reports.document import Cell, Column, Document, Section, Table, made_from, warnings
from provenance.reports.tally import STORED, Row, Tally
from provenance.rules import Rules
from reservations.model import Category

Scale = Literal["all", "sme"]
"""Whose rule on the list of domains holds: any provider's, or that of small and medium-sized enterprises."""

_TOP_PERCENT: Final = {"all": 10, "sme": 5}
_SME_MOST: Final = 1_000
_TEXTUAL: Final = frozenset({
    "application/xhtml+xml", "application/xml", "application/json", "application/ld+json", "application/pdf",
    "application/epub+zip", "application/rss+xml", "application/atom+xml", "application/rtf",
})  # fmt: skip
MODALITIES: Final = ("text", "image", "audio", "video", "other")

_PURPOSES: Final = {
    Category.CRAWL: "any use of what is fetched",
    Category.TDM: "text and data mining",
    Category.AI_TRAIN: "training of AI models",
    Category.GENAI_TRAIN: "training of general-purpose and generative AI models",
    Category.AI_INPUT: "input of AI systems at the time of use",
    Category.AI_INDEX: "indexes for AI systems",
    Category.SEARCH: "search",
    Category.ARCHIVE: "archiving",
}


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


_ABOUT: Final = _paragraphs("""
    Sections 2.3 and 3 of the public summary of training content under Art. 53(1)(d) of Regulation (EU) 2024/1689, as
    far as the decision log of the crawl answers them. Fields marked for the provider are for the provider to answer.

    The same log gives the same report, octet for octet: whoever has the log can make it again and compare.
""")
_MEASURE: Final = _paragraphs("""
    Size is the payload of stored pages in octets as transferred, content coding kept. A payload that was there before
    is stored once and counts once, at the page it was first stored for; of a page of which only the open words are
    stored, nothing counts. A domain is a registrable domain by the public suffix list of the crawl.
""")
_BEHAVIOUR: Final = _paragraphs("""
    The crawler sends one product token, obeys robots.txt (RFC 9309) and every reservation it can read before it asks
    for a page, and asks for one page of a host at a time.

    It does not log in, keep cookies, solve captchas, change its identity or address, or take a detour through caches or
    mirrors. A page behind a paywall, a login, a challenge or a technical protection is not stored.

    A page whose head or body reserves rights is not stored; what cannot be determined is held and not stored. Where
    weaker rules were in force, this report says so at its head.
""")
_MEASURES: Final = _paragraphs("""
    Before a page is asked for: the blocklist, robots.txt and the reservation files of its origin are consulted, at most
    24 hours old. A reservation means that nothing is asked for.

    While it is received: the head is read first, and one that reserves ends the transfer before the body. Then the body
    is read for reservations, and a page that makes one is not stored.

    Afterwards: each decision stands in a signed log with every statement seen and the bytes it was read from, and can
    be made again. Complaints and later reservations are entered as new decisions, and what has to go is erased.
""")


class _Domain(msgspec.Struct):
    """What is stored of one registrable domain."""

    name: str
    pages: int = 0
    octets: int = 0
    first: str = ""
    last: str = ""

    def add(self, row: Row) -> None:
        self.pages += row.urls
        self.octets += row.octets
        if row.day:
            self.first = min(self.first or row.day, row.day)
            self.last = max(self.last, row.day)


def modality(media_type: str) -> str:
    """The template's modality of a media type: "text", "image", "audio", "video" or "other"."""
    if media_type in _TEXTUAL or media_type.startswith("text/"):
        return "text"
    kind = media_type.partition("/")[0]
    return kind if kind in MODALITIES else "other"


def listed(domains: int, scale: Scale) -> int:
    """How many of so many domains the template wants named, rounded up.

    >>> listed(101, "all"), listed(101, "sme"), listed(1_000_000, "sme")
    (11, 6, 1000)
    """
    share = -(-domains * _TOP_PERCENT[scale] // 100)
    return min(share, _SME_MOST) if scale == "sme" else share


def summary(tallies: list[Tally], rules: Sequence[Rules], scale: Scale = "all") -> Document:
    """The report.

    Args:
        tallies: the logs of the crawl.
        rules: every set of rules that was in force in them.
        scale: whose rule on the list of domains holds.
    """
    every = [row for tally in tallies for row in tally.rows]
    rows = [row for row in every if row.verdict in STORED and row.training]
    runs = [run for tally in tallies for run in tally.runs]
    return Document(
        name="summary",
        title="Public summary of training content: crawled data and rights reservations",
        about=_ABOUT,
        warnings=warnings(tallies),
        made_from=made_from(tallies),
        sections=(
            *_crawler(runs, rows),
            _behaviour(every),
            *_content(rows),
            _domains(rows, scale),
            _comments(tallies, every),
            *_reservations(every, rules),
            _blocklist(tallies, every),
        ),
    )


# -- 2.3 ---------------------------------------------------------------------------------------------------------------


def _crawler(runs: list[RunEntry], rows: list[Row]) -> Iterator[Section]:
    used = bool(rows)
    told = "Yes." if used else "No page that may be used for training is stored."
    yield Section(
        code="2.3", title="Was content crawled by the provider, or for the provider?", told=(told,), value=used
    )
    names = [{"token": one.token, "agent": one.agent, "operator": one.operator, "contact": one.contact} for one in runs]
    distinct = list({tuple(name.values()): name for name in names}.values())
    told_names = (
        f"{n['token']} (User-Agent: {n['agent']}), operated by {n['operator']}, {n['contact']}" for n in distinct
    )
    yield Section(code="2.3.i", title="Names of the crawlers", told=tuple(told_names), value=distinct)
    purposes = list(dict.fromkeys(purpose for run in runs for purpose in run.purposes))
    told_purposes = tuple(f"{purpose}: {_PURPOSES[purpose]}" for purpose in purposes)
    yield Section(code="2.3.ii", title="Purposes of the crawlers", told=told_purposes, value=purposes)


def _behaviour(every: list[Row]) -> Section:
    kept_out = [row for row in every if row.reason.startswith("access.") and row.verdict not in STORED]
    columns = (Column("reason", "What closed the page"), Column("urls", "URLs", "bar"))
    table = Table(name="access", title="Pages not taken because access was closed", columns=columns,
                  rows=tuple(_counted((row.reason, row.urls) for row in kept_out)), file=False)  # fmt: skip
    title = "Behaviour of the crawlers (robots.txt, captchas, paywalls)"
    return Section(code="2.3.iii", title=title, told=_BEHAVIOUR, tables=(table,))


def _content(rows: list[Row]) -> Iterator[Section]:
    days = [row.day for row in rows if row.day]
    first, last = (min(days), max(days)) if days else ("", "")
    told = (f"{_month(first)} to {_month(last)} ({first} to {last})",) if days else ()
    yield Section(code="2.3.iv", title="Period of collection", told=told, value={"first": first, "last": last})
    domains, pages = len({row.site for row in rows}), sum(row.urls for row in rows)
    octets = sum(row.octets for row in rows)
    told = (f"{pages:,} pages of {domains:,} domains, {octets:,} octets, found from seeds, in sitemaps and by links.",)
    title = "Kinds of content and online sources"
    value = {"pages": pages, "domains": domains, "octets": octets}
    yield Section(code="2.3.v", title=title, told=told, value=value, tables=(_types(rows), _suffixes(rows)))
    shares = _by(rows, lambda row: modality(row.media_type))
    columns = (Column("modality", "Modality"), *_SIZES)
    table = Table(name="modalities", title="By modality, from the media types that servers declared", columns=columns,
                  rows=tuple((name, *shares[name]) for name in MODALITIES if name in shares), file=False)  # fmt: skip
    found = [name for name in MODALITIES if name in shares]
    yield Section(
        code="2.3.vi", title="Modalities", told=(", ".join(found),) if found else (), value=found, tables=(table,)
    )


_SIZES: Final = (Column("pages", "Pages", "number"), Column("octets", "Octets", "bar"))


def _by(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, tuple[int, int]]:
    """Pages and octets by what `key` says of a row, the largest first."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        one = sums[key(row)]
        one[0] += row.urls
        one[1] += row.octets
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], -item[1][0], item[0]))
    return {name: (pages, octets) for name, (pages, octets) in ordered}


def _types(rows: list[Row]) -> Table:
    columns = (Column("media_type", "Media type as declared"), *_SIZES)
    found = tuple((name, *sizes) for name, sizes in _by(rows, lambda row: row.media_type).items())
    return Table(name="media-types", title="By media type", columns=columns, rows=found, file=False)


def _suffixes(rows: list[Row]) -> Table:
    """Where the sites are registered says, roughly, where the content comes from."""
    columns = (Column("top_level", "Top-level domain"), *_SIZES)
    found = tuple((name, *sizes) for name, sizes in _by(rows, lambda row: _suffix(row.site)).items())
    return Table(name="top-level-domains", title="By top-level domain", columns=columns, rows=found, file=False)


def _suffix(site: str) -> str:
    label = site.rpartition(".")[2]
    return "(address)" if label.isdigit() or ":" in label else label


_DOMAIN_COLUMNS: Final = (
    Column("rank", "Rank", "number"),
    Column("domain", "Domain"),
    Column("pages", "Pages", "number"),
    Column("octets", "Octets", "bar"),
    Column("share_percent", "Share, %", "number"),
    Column("first", "First stored"),
    Column("last", "Last stored"),
)


def _domains(rows: list[Row], scale: Scale) -> Section:
    ranked = _ranked(rows)
    number, octets = listed(len(ranked), scale), sum(domain.octets for domain in ranked)
    rule = {
        "all": "the top 10 % of all domains by size of stored content",
        "sme": "the top 5 % of all domains by size of stored content, or 1,000 domains, whichever is less",
    }[scale]
    order = "Of equal sizes, the domain with more pages comes first, then by the alphabet."
    told = (f"Listed are {number:,} of {len(ranked):,} domains: {rule}, rounded up. {order}", *_MEASURE)
    by_modality = []
    for name in MODALITIES:
        some = _ranked(row for row in rows if modality(row.media_type) == name)
        by_modality += [(name, *cells) for cells in _cells(some[: listed(len(some), scale)], some)]
    tables = (
        Table(name="domains", title="Most relevant domains, all modalities together", columns=_DOMAIN_COLUMNS,
              rows=tuple(_cells(ranked[:number], ranked))),
        Table(name="domains-by-modality", title="The same rule for each modality by itself",
              columns=(Column("modality", "Modality"), *_DOMAIN_COLUMNS), rows=tuple(by_modality)),
    )  # fmt: skip
    value = {"rule": scale, "listed": number, "domains": len(ranked), "octets": octets}
    return Section(code="2.3.vii", title="Most relevant domain names", told=told, value=value, tables=tables)


def _ranked(rows: Iterable[Row]) -> list[_Domain]:
    domains: dict[str, _Domain] = {}
    for row in rows:
        if row.site not in domains:
            domains[row.site] = _Domain(row.site)
        domains[row.site].add(row)
    return sorted(domains.values(), key=lambda domain: (-domain.octets, -domain.pages, domain.name))


def _cells(some: list[_Domain], every: list[_Domain]) -> Iterator[tuple[Cell, ...]]:
    octets = sum(domain.octets for domain in every)
    for rank, one in enumerate(some, 1):
        yield rank, one.name, one.pages, one.octets, percent(one.octets, octets), one.first, one.last


def percent(part: int, whole: int) -> str:
    """A share with two decimals, rounded down.

    >>> percent(1, 3)
    '33.33'
    """
    hundredths = part * 10_000 // whole if whole else 0
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _comments(tallies: list[Tally], every: list[Row]) -> Section:
    other = sum(row.urls for row in every if row.verdict in STORED and not row.training)
    figures = {
        "pages that were stored for other purposes only, and are not counted here": other,
        "decisions that were changed later, counted as they stand now": sum(tally.changed for tally in tallies),
        "entries whose text was erased, not counted": sum(tally.erased for tally in tallies),
        "WARC files that were removed since, their pages counted": sum(tally.gone for tally in tallies),
    }
    told = tuple(f"{number:,} {what}." for what, number in figures.items() if number)
    return Section(code="2.3.viii", title="Comments", by="provider", told=told)


# -- 3 -----------------------------------------------------------------------------------------------------------------


def _reservations(every: list[Row], rules: Sequence[Rules]) -> Iterator[Section]:
    title = "Has the provider signed the Code of Practice?"
    yield Section(code="3.1.signatory", title=title, by="provider")
    known = {(one.id, one.version): one for made in rules for one in made.registry.protocols if not one.grants}
    owner = {reason.code: one.id for one in known.values() for reason in one.reasons}
    refused = dict(_counted((owner.get(row.reason, ""), row.urls) for row in every if row.verdict not in STORED))
    reserved = sum(urls for protocol, urls in refused.items() if protocol)
    told = (*_MEASURES, f"{reserved:,} URLs were not taken because of a reservation or restriction.")
    yield Section(code="3.1.measures", title="Measures to respect reservations of rights", told=told)
    cells = tuple((p.id, p.name, p.version, p.eu_status, p.reviewed, refused.get(p.id, 0)) for p in known.values())
    table = Table(name="protocols", title="Statements that are read and obeyed", columns=_PROTOCOLS, rows=cells)
    title = "Protocols for reservations that are honoured"
    yield Section(code="3.1.protocols", title=title, value=[one.id for one in known.values()], tables=(table,))
    yield Section(code="3.1.comments", title="Comments", by="provider")


_PROTOCOLS: Final = (
    Column("protocol", "Protocol"),
    Column("name", "Name"),
    Column("version", "Version"),
    Column("standing", "Standing in the EU process"),
    Column("reviewed", "Read last"),
    Column("urls", "URLs not taken", "bar"),
)


def _blocklist(tallies: list[Tally], every: list[Row]) -> Section:
    configs = {config.blocklist: config for tally in tallies for config in tally.configs if config.blocklist}
    told = [_list_sentence(config) for config in configs.values()]
    told += sorted(
        {f"No blocklist was in force: {run.no_blocklist}" for t in tallies for run in t.runs if run.no_blocklist}
    )
    number = sum(row.urls for row in every if row.reason == "blocklist.listed")
    told.append(f"{number:,} URLs were not taken because their site is listed.")
    columns = (Column("source", "Decided by"), Column("date", "Date"), Column("country", "Country"))
    cells = dict.fromkeys((one.id, one.date, one.country) for config in configs.values() for one in config.sources)
    table = Table(name="blocklist", title="Decisions and lists behind it", columns=columns, rows=tuple(cells))
    title = "Removal of illegal content: sites held to infringe persistently are not crawled"
    return Section(code="3.2", title=title, told=tuple(told), tables=(table,) if cells else ())


def _list_sentence(config: ConfigEntry) -> str:
    count = len(config.sources)
    behind = f"{count} {'decision or list' if count == 1 else 'decisions or lists'} behind it"
    return f"Blocklist {config.blocklist_version} ({config.blocklist}), {behind}."


def _counted(pairs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Sums by word, the largest first."""
    sums: dict[str, int] = defaultdict(int)
    for word, number in pairs:
        sums[word] += number
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))


def _month(day: str) -> str:
    """The template's MM/YYYY of an ISO date."""
    return f"{day[5:7]}/{day[:4]}"
