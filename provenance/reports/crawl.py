"""The data team's account of a crawl: what was kept, refused and why, by site, reason, media type and day."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from provenance.reports.document import Cell, Column, Document, Section, Table, made_from, warnings
from provenance.reports.summary import modality
from provenance.reports.tally import STORED, Row, Tally
from provenance.rules import Rules
from reservations.model import Verdict
from reservations.reasons import CORE

_ABOUT: Final = (
    "One line a URL: the last word on it, as it stands now. A changed decision counts as it was changed.",
    "Octets are the payload of stored pages as transferred; a payload that was there before counts once.",
)
MEANING: Final[Mapping[Verdict, str]] = {
    Verdict.KEPT: "fetched and stored",
    Verdict.UNCHANGED: "the payload was there already",
    Verdict.REDIRECTED: "led elsewhere; the target is a URL of its own",
    Verdict.REFUSED: "not asked for",
    Verdict.ABORTED: "head seen, body not read",
    Verdict.DISCARDED: "body seen, not stored",
    Verdict.HELD: "waits for a person",
    Verdict.ABSENT: "not there",
    Verdict.FAILED: "no usable answer",
    Verdict.DEFERRED: "to be tried again",
}
_ERASED: Final = "(erased)"
_Cells: TypeAlias = tuple[tuple[Cell, ...], ...]
_VERDICTS: Final = tuple(Column(verdict.value, verdict.value, "number") for verdict in Verdict)


def crawl(tallies: list[Tally], rules: Sequence[Rules]) -> Document:
    """The report.

    Args:
        tallies: the logs of the crawl.
        rules: every set of rules that was in force in them.
    """
    rows = [row for tally in tallies for row in tally.rows]
    return Document(
        name="crawl",
        title="What became of a crawl",
        about=_ABOUT,
        warnings=warnings(tallies),
        made_from=made_from(tallies),
        sections=(
            _overview(tallies, rows),
            _reasons(rows, rules),
            _sites(rows),
            _types(rows),
            _days(rows),
            _documents(tallies),
        ),
    )


def _overview(tallies: list[Tally], rows: list[Row]) -> Section:
    sums: Counter[Verdict] = Counter()
    octets: Counter[Verdict] = Counter()
    for row in rows:
        sums[row.verdict] += row.urls
        octets[row.verdict] += row.octets
    cells = tuple((one.value, MEANING[one], sums[one], octets[one]) for one in Verdict if sums[one])
    columns = (Column("verdict", "Verdict"), Column("meaning", "Meaning"), Column("urls", "URLs", "bar"),
               Column("octets", "Octets stored", "number"))  # fmt: skip
    counted: Counter[str] = sum((tally.counted for tally in tallies), Counter())
    beside = {
        "attempts that were tried again": sum(tally.attempts for tally in tallies),
        "decisions that were changed later": sum(tally.changed for tally in tallies),
        "entries whose text was erased": sum(tally.erased for tally in tallies),
        "URLs that are logged masked": sum(tally.masked for tally in tallies),
        "WARC files that were removed since": sum(tally.gone for tally in tallies),
        **{
            f"links that were counted and not entered ({what.replace('_', ' ')})": number
            for what, number in sorted(counted.items())
        },
    }
    sites = len({row.site for row in rows if row.site})
    beside_told = "; ".join(f"{number:,} {what}" for what, number in beside.items() if number)
    told = (f"{sum(sums.values()):,} URLs of {sites:,} sites.", f"Beside them: {beside_told or 'nothing'}.")
    table = Table(name="verdicts", title="By verdict", columns=columns, rows=cells)
    return Section(code="overview", title="Overview", told=told, value=dict(beside), tables=(table,))


def _reasons(rows: list[Row], rules: Sequence[Rules]) -> Section:
    texts = dict(CORE)
    for made in rules:
        texts |= made.registry.reasons
    urls: Counter[tuple[str, str]] = Counter()
    sites: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        urls[row.verdict.value, row.reason] += row.urls
        sites[row.verdict.value, row.reason].add(row.site)
    order = sorted(urls, key=lambda key: (-urls[key], key))
    cells = tuple((*key, texts.get(key[1], ""), urls[key], len(sites[key])) for key in order)
    columns = (Column("verdict", "Verdict"), Column("reason", "Reason"), Column("in_words", "In words"),
               Column("urls", "URLs", "bar"), Column("sites", "Sites", "number"))  # fmt: skip
    return _one("reasons", "Why", "By verdict and reason", columns, cells)


def _sites(rows: list[Row]) -> Section:
    sums = _by_verdict(rows, lambda row: row.site or _ERASED)
    octets: Counter[str] = Counter()
    against: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        octets[row.site or _ERASED] += row.octets
        if row.verdict not in STORED:
            against[row.site or _ERASED][row.reason] += row.urls
    order = sorted(sums, key=lambda site: (-sum(sums[site].values()), site))
    cells: _Cells = tuple(
        (site, sum(sums[site].values()), octets[site], _most(against[site]), *_each(sums[site])) for site in order
    )
    columns = (Column("site", "Site"), Column("urls", "URLs", "bar"), Column("octets", "Octets stored", "number"),
               Column("against", "Most often against it"), *_VERDICTS)  # fmt: skip
    return _one("sites", "Sites", "By registrable domain", columns, cells)


def _most(reasons: Counter[str]) -> str:
    return min(reasons, key=lambda reason: (-reasons[reason], reason), default="")


def _types(rows: list[Row]) -> Section:
    sums = _by_verdict(rows, lambda row: row.media_type)
    octets: Counter[str] = Counter()
    for row in rows:
        octets[row.media_type] += row.octets
    order = sorted(sums, key=lambda name: (-sum(sums[name].values()), name))
    cells: _Cells = tuple(
        (name, modality(name), sum(sums[name].values()), octets[name], *_each(sums[name])) for name in order
    )
    columns = (Column("media_type", "Media type as declared"), Column("modality", "Modality"),
               Column("urls", "URLs", "bar"), Column("octets", "Octets stored", "number"), *_VERDICTS)  # fmt: skip
    return _one("types", "Media types", "By media type; (none): there was no answer", columns, cells)


def _days(rows: list[Row]) -> Section:
    sums = _by_verdict(rows, lambda row: row.day)
    cells: _Cells = tuple((day, sum(sums[day].values()), *_each(sums[day])) for day in sorted(sums))
    columns = (Column("day", "Day"), Column("urls", "URLs", "bar"), *_VERDICTS)
    return _one("days", "Over time", "By day of the last word, UTC", columns, cells)


def _documents(tallies: list[Tally]) -> Section:
    asked: Counter[tuple[str, str]] = sum((tally.documents for tally in tallies), Counter())
    order = sorted(asked, key=lambda key: (key[0], -asked[key], key[1]))
    cells = tuple((*key, asked[key]) for key in order)
    columns = (Column("document", "Document"), Column("outcome", "Outcome"), Column("times", "Times", "bar"))
    return _one("documents", "What origins were asked for", "robots.txt and reservation files", columns, cells)


def _by_verdict(rows: list[Row], key: Callable[[Row], str]) -> dict[str, Counter[Verdict]]:
    sums: dict[str, Counter[Verdict]] = defaultdict(Counter)
    for row in rows:
        sums[key(row)][row.verdict] += row.urls
    return sums


def _each(sums: Counter[Verdict]) -> list[int]:
    return [sums[one] for one in Verdict]


def _one(name: str, title: str, shows: str, columns: tuple[Column, ...], cells: _Cells) -> Section:
    """A section of one table."""
    return Section(code=name, title=title, tables=(Table(name=name, title=shows, columns=columns, rows=cells),))
