"""Lists of others -> names to propose. Each format is one small reader; what cannot be read is said, line by line.

Reading enforces nothing: what comes out is proposed, and people approve. Addresses never come out, for sites share
them; nor do patterns. A name is brought into the form in which hosts are compared.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from blocklists.hosts import host_fault
from blocklists.model import BlocklistError, Match
from reservations.urls import UrlError, canonical_url, origin_of

#: A list of ten million names has some 200 MB.
MAX_CHARS: Final = 500_000_000


class Found(NamedTuple):
    """A name to propose, and the line it stood in."""

    host: str
    match: Match
    line: int


class Skipped(NamedTuple):
    """A line out of which no name came, and why."""

    line: int
    text: str
    why: str


class Reading(NamedTuple):
    """What came out of a list: each name once, and everything that was passed over."""

    found: tuple[Found, ...]
    skipped: tuple[Skipped, ...]
    repeated: int


class _Raw(NamedTuple):
    """A name as written, how far it reaches, and the line it stood in. Without a match: why it is none."""

    text: str
    match: Match | None
    line: int
    why: str = ""


_NO_RULE: Final = "It is no rule that names one host."
_DOTS: Final = re.compile(r"\s*(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\[:\]//)\s*", re.IGNORECASE)
_SCHEME: Final = re.compile(r"\b(?:h[tx]{2}ps?|f[tx]p)(?=://|\[://\])", re.IGNORECASE)
#: What may stand around a name in a text: brackets, quotes, marks at the end of a sentence, list marks.
_AROUND: Final = "<>()[]{}\"'`.,;:!?*-\u2022\u00b7\u2013\u2014\u201c\u201d\u201e\u00ab\u00bb"
_ADDRESS: Final = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]+)?|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:./]*")
_DOTTED: Final = re.compile(r"[^\s.]+(?:\.[^\s.]+)+")
#: A word whose last part could be a top-level domain.
_LIKE_A_HOST: Final = re.compile(r"(?:[\w-]{1,63}\.)+(?:[^\W\d_]{2,63}|xn--[a-z0-9-]{2,59})", re.IGNORECASE)
#: Ends of file names that are also top-level domains, or look like one: no hosts in running text.
_FILES: Final = frozenset({"pdf", "html", "htm", "doc", "docx", "txt", "csv", "php", "jpg", "png", "xls", "xlsx"})


def read(name: str, text: str) -> Reading:
    """The names in a list.

    Raises:
        BlocklistError: there is no such format, or the text is not in it at all.
    """
    reader = FORMATS.get(name)
    if reader is None:
        raise BlocklistError(f'There is no format "{name}".', "format", f"Name one of {', '.join(FORMATS)}.")
    if len(text) > MAX_CHARS:
        raise BlocklistError("The list is too long.", name, f"Split it: at most {MAX_CHARS} characters.")
    seen: dict[tuple[str, Match], Found] = {}
    skipped: list[Skipped] = []
    repeated = 0
    for raw in reader(text.removeprefix("\ufeff")):
        host, why = ("", raw.why) if raw.match is None else _host(raw.text)
        if raw.match is None or why:
            skipped.append(Skipped(raw.line, raw.text[:120], why))
        elif (host, raw.match) in seen:
            repeated += 1
        else:
            seen[host, raw.match] = Found(host, raw.match, raw.line)
    return Reading(tuple(seen.values()), tuple(skipped), repeated)


def refang(text: str) -> str:
    """The text with names written as names again, that were written so that nobody clicks on them.

    >>> refang("hxxps://pirate[.]example/film")
    'https://pirate.example/film'
    """
    plain = _DOTS.sub(lambda found: "://" if ":" in found[0] else ".", text.replace("[://]", "://"))
    return _SCHEME.sub(lambda found: found[0].lower().replace("xx", "tt").replace("fxp", "ftp"), plain)


def _host(text: str) -> tuple[str, str]:
    """The host of a name or URL in canonical form, or why there is none."""
    try:
        host = origin_of(canonical_url(text if "://" in text else f"https://{text}")).host
    except UrlError as fault:
        return "", str(fault)
    wrong = host_fault(host)
    return (host, "") if wrong is None else ("", wrong[0])


def _lines(text: str, remarks: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Lines that say something, without remarks."""
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if said and not said.startswith(remarks):
            yield number, said


def _plain(text: str) -> Iterator[_Raw]:
    for number, line in _lines(text, ("#", "!", ";", "//")):
        yield _Raw(line.partition(" #")[0].strip(), Match.DOMAIN, number)


_OWN_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost"})


def _hosts(text: str) -> Iterator[_Raw]:
    for number, line in _lines(text, ("#",)):
        words = line.partition("#")[0].split()
        if len(words) < 2 or not _ADDRESS.fullmatch(words[0]):  # noqa: PLR2004 -- address and name
            yield _Raw(line, None, number, "It is not an address with names behind it.")
            continue
        yield from (_Raw(word, Match.HOST, number) for word in words[1:] if word not in _OWN_NAMES and word != words[0])


def _adblock(text: str) -> Iterator[_Raw]:
    for number, line in _lines(text, ("!", "[", "#")):
        found = re.fullmatch(r"\|\|([^/^*$|]+)\^?(?:\$(?:all|document|important|third-party|popup|,)+)?", line)
        if line.startswith("@@"):
            yield _Raw(line, None, number, "It is an exception of that list; ours have a form of their own.")
        else:
            yield _Raw(found[1], Match.DOMAIN, number) if found else _Raw(line, None, number, _NO_RULE)


def _dnsmasq(text: str) -> Iterator[_Raw]:
    for number, line in _lines(text, ("#",)):
        found = re.fullmatch(r"(?:local|address|server)=/(.+)/[^/]*", line)
        if found is None:
            yield _Raw(line, None, number, _NO_RULE)
            continue
        yield from (_Raw(name, Match.DOMAIN, number) for name in found[1].split("/") if name)


def _wildcard(text: str) -> Iterator[_Raw]:
    for number, line in _lines(text, ("#", "!", ";")):
        name = line.removeprefix("*.")
        yield _Raw(name, Match.HOST if name == line else Match.DOMAIN, number)


def _rpz(text: str) -> Iterator[_Raw]:
    """Response policy zones (draft-vixie-dns-rpz): `name CNAME .` refuses the name, `*.name CNAME .` what is below."""
    for number, line in _lines(text, (";", "$", "@")):
        words = line.partition(";")[0].split()
        kind = next((place for place, word in enumerate(words) if word.upper() == "CNAME"), 0)
        if not kind or words[-1] not in (".", "*.", "rpz-drop."):
            if kind or not {"SOA", "NS", "A", "AAAA", "TXT"} & {word.upper() for word in words}:
                yield _Raw(line, None, number, _NO_RULE)
            continue
        name = words[0].removeprefix("*.").rstrip(".")
        if ".rpz-" in f".{name}":
            yield _Raw(line, None, number, "It is a rule about addresses or name servers.")
        else:
            yield _Raw(name, Match.DOMAIN if words[0].startswith("*.") else Match.HOST, number)


def _csv(text: str) -> Iterator[_Raw]:
    """A table whose columns nobody described: the one with the most hosts is meant."""
    sample = text[:4096]
    separator = max(",;\t|", key=sample.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    columns = max(map(len, rows), default=0)
    likely = [sum(_looks_like_a_host(row[at]) for row in rows if at < len(row)) for at in range(columns)]
    if not any(likely):
        raise BlocklistError("No column holds names of hosts.", "csv", "Look at the file, and at its format.")
    best = likely.index(max(likely))
    for number, row in enumerate(rows, start=1):
        cell = row[best].strip() if best < len(row) else ""
        if _looks_like_a_host(cell):
            yield _Raw(refang(cell).removeprefix("*."), Match.DOMAIN, number)
        elif number > 1 and any(row):
            yield _Raw(cell or separator.join(row), None, number, "There is no host in the column of hosts.")


def _looks_like_a_host(cell: str) -> bool:
    text = refang(cell.strip()).rpartition("://")[2].partition("/")[0].partition(":")[0].removeprefix("*.").rstrip(".")
    return _LIKE_A_HOST.fullmatch(text) is not None


def _json(text: str) -> Iterator[_Raw]:
    """Any JSON: every text in it that is a host or a URL."""
    for value in _strings(_loaded(text)):
        if _looks_like_a_host(value):
            yield _Raw(refang(value.strip()).removeprefix("*."), Match.DOMAIN, 0)


def _strings(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        match pending.pop():
            case str() as found:
                yield found
            case dict() as table:
                pending.extend(reversed(table.values()))
            case list() as values:
                pending.extend(reversed(values))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise BlocklistError(f"This is not JSON: {fault}.", "json", "Look at the file, and at its format.") from None


def _misp(text: str) -> Iterator[_Raw]:
    """A MISP warninglist: its kind says how far its names reach (https://github.com/MISP/misp-warninglists)."""
    listed = _loaded(text)
    kinds = {"hostname": Match.DOMAIN, "string": Match.HOST}
    kind = listed.get("type") if isinstance(listed, dict) else None
    if kind not in kinds or not isinstance(listed.get("list"), list):
        raise BlocklistError(
            f'This is no warninglist of hosts: its type is "{kind}".', "misp", "Its type has to be hostname or string."
        )
    for value in listed["list"]:
        name = str(value)
        yield _Raw(name.removeprefix("."), kinds[kind] if not name.startswith(".") else Match.DOMAIN, 0)


def _text(text: str) -> Iterator[_Raw]:
    """Text as it was copied out of a document: every word that is a name, however it was made harmless."""
    for number, line in _lines(text, ()):
        for word in refang(line).split():
            bare = word.strip(_AROUND)
            host = bare.rpartition("://")[2].partition("/")[0].partition(":")[0]
            if _ADDRESS.fullmatch(bare):
                yield _Raw(bare, None, number, "It is an address; only names can be listed: sites share addresses.")
            elif "@" in bare:
                continue
            elif _LIKE_A_HOST.fullmatch(host) and ("://" in bare or host.rpartition(".")[2].lower() not in _FILES):
                yield _Raw(bare, Match.DOMAIN, number)
            elif _DOTTED.fullmatch(bare) and "://" in bare:
                yield _Raw(bare, None, number, "It is no name of a host.")


Reader = Callable[[str], Iterable[_Raw]]

FORMATS: Final[Mapping[str, Reader]] = {
    "plain": _plain,
    "hosts": _hosts,
    "adblock": _adblock,
    "dnsmasq": _dnsmasq,
    "wildcard": _wildcard,
    "rpz": _rpz,
    "csv": _csv,
    "json": _json,
    "misp": _misp,
    "text": _text,
}
"""By name: plain domains, hosts file, Adblock, dnsmasq, wildcards, RPZ, CSV, JSON, MISP warninglist, pasted text."""
