"""Reads licences in Really Simple Licensing (RSL 1.0 and the drafts of 2025) and says what they offer us for one URL.

Document order carries no meaning. The narrowest content entry speaks; each licence in it is an offer of its own, and a
prohibition at least as specific as the offer's own permission beats them all (rulings 9, 10, 19, 20). Words, and what
they stand for, are data. Document types are refused, entities never expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from lxml import etree

from reservations.model import Value
from reservations.readers.robots_match import Meter, Subject, TooComplex, path_matches
from reservations.statement import clean
from reservations.tables import OfferWords
from reservations.urls import UrlError, origin_of

MAX_DEPTH: Final = 32
MAX_CONTENTS: Final = 5_000
_MAX_ELEMENTS: Final = 100_000
_MAX_WORDS: Final = 500
_MAX_TERMS: Final = 10
_MAX_URL: Final = 2048
#: Free text is text, never fetched (ruling 20).
_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_SPLIT: Final = re.compile(r"[\s,]+")
_BY_NAME, _BY_GROUP = 2, 1

_ROOT: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?.{0,512}?\?>\s*|<!--.{0,8192}?-->\s*)*+(?:<!DOCTYPE\s+)?<?(?:[\w.-]{1,64}:)?rsl[\s>/]",
    re.DOTALL | re.IGNORECASE,
)


class Unreadable(Exception):  # noqa: N818 - a finding: the document is of no use, for the reason given
    """The document is none that can be relied on."""


class Party(NamedTuple):
    """Who we are to a licensor: classes of user, country of establishment ("" unknown), whether we give attribution."""

    users: frozenset[str]
    country: str
    attributes: bool


class Licence(NamedTuple):
    """One offer. Words by type ("usage", "user", "geo"); `payments` by type, "" for a price without one."""

    permits: Mapping[str, frozenset[str]]
    prohibits: Mapping[str, frozenset[str]]
    payments: tuple[str, ...]
    duties: tuple[str, ...]
    text: str
    issues: tuple[str, ...]


class Content(NamedTuple):
    """One entry: what it covers, whether a server or a key must be asked first, its offers, URLs of its terms."""

    number: int
    url: str
    locked: str
    licences: tuple[Licence, ...]
    terms: tuple[str, ...] = ()


class Offer(NamedTuple):
    """What a document says of one use: `outcome` is "permitted", "prohibited", "not-permitted" or "conditional"."""

    use: str
    outcome: str
    content: Content
    text: str
    conditions: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


VALUES: Final[Mapping[str, Value]] = {
    "permitted": Value.ALLOW,
    "prohibited": Value.DENY,
    "not-permitted": Value.DENY,
    "conditional": Value.CONDITIONAL,
}


def looks_like_rsl(body: bytes) -> bool:
    """Whether the first element is named `rsl`: no web page in the document's place."""
    return _ROOT.match(body[:16_384]) is not None


def parse_rsl(body: bytes, words: OfferWords) -> tuple[Content, ...]:
    """The content entries of a document, or of all fragments in a piece of XML; raises Unreadable."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise Unreadable("document_type")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.LxmlError, ValueError):
        raise Unreadable("not_well_formed") from None
    if root is None:
        raise Unreadable("not_well_formed")
    entries = list(_entries(root, frozenset(words.namespaces)))
    if not entries:
        raise Unreadable("no_content")
    return tuple(_content(number, entry) for number, entry in enumerate(entries, 1))


def _entries(root: etree._Element, namespaces: frozenset[str]) -> Iterator[etree._Element]:
    """The `content` elements in the namespace, within bounds."""
    entries = 0
    depth = 0
    for number, (event, element) in enumerate(etree.iterwalk(root, events=("start", "end"))):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH or number > 2 * _MAX_ELEMENTS:
            raise Unreadable("over_budget")
        if event == "start" and _name(element) == "content" and _space(element) in namespaces:
            entries += 1
            if entries > MAX_CONTENTS:
                raise Unreadable("over_budget")
            yield element


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _space(element: etree._Element) -> str:
    return str(element.tag)[1:].partition("}")[0] if str(element.tag).startswith("{") else ""


def _content(number: int, entry: etree._Element) -> Content:
    locked = "server" if (entry.get("server") or "").strip() else ""
    if (entry.get("encrypted") or "").strip().lower() in ("true", "1", "yes"):
        locked = "encrypted"
    licences = tuple(_licence(child) for child in entry if _name(child) == "license")
    terms = tuple(said for child in entry if _name(child) == "terms" and _URL.fullmatch(said := _said(child)))
    return Content(number, (entry.get("url") or "").strip(), locked, licences, terms[:_MAX_TERMS])


def _said(element: etree._Element) -> str:
    return "".join(element.itertext())[:_MAX_URL].strip()


def _licence(element: etree._Element) -> Licence:
    permits: dict[str, frozenset[str]] = {}
    prohibits: dict[str, frozenset[str]] = {}
    payments: list[str] = []
    duties: list[str] = []
    issues: list[str] = []
    for child in element:
        name, kind = _name(child), (child.get("type") or "").strip().lower()
        if name in ("permits", "prohibits"):
            table = permits if name == "permits" else prohibits
            if kind in table:
                issues.append("duplicate_permits")
            table[kind] = table.get(kind, frozenset()) | _words("".join(child.itertext()))
        elif name == "payment":
            priced = any(_name(item) in ("amount", "standard", "custom", "accepts") for item in child)
            payments.append(kind or ("untyped" if priced else ""))
        elif name == "reporting":
            duties.append("reporting")
    return Licence(permits, prohibits, tuple(payments), tuple(duties), _shown(element), tuple(dict.fromkeys(issues)))


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _SPLIT.split(text[:16_384].strip())[:_MAX_WORDS] if word)


def _shown(element: etree._Element) -> str:
    parts = []
    for child in element:
        kind, text = child.get("type") or "", " ".join("".join(child.itertext()).split())
        parts.append(" ".join(filter(None, (_name(child), kind and f"({kind})", text[:100]))))
    return clean("; ".join(parts))


class Found(NamedTuple):
    """Where a document was found, and thus what it can speak for.

    Attributes:
        url: the URL that is asked about; subject: the same, to be compared with.
        page: it came with this very resource: an empty `url` means the resource.
        inside: it is part of the resource: terms for another origin's URL apply to this copy (ruling 9).
        part: it is about a part of the resource, such as an item of a feed: what it refuses counts for the whole.
    """

    url: str
    subject: Subject
    page: bool = False
    inside: bool = False
    part: bool = False


def narrowest(contents: Iterable[Content], found: Found) -> tuple[list[Content], tuple[str, ...]]:
    """The entries that cover the URL most closely, and what was odd about how they do."""
    if found.part:
        return list(contents), ("part",)
    meter = Meter()
    covering: list[tuple[int, Content, tuple[str, ...]]] = []
    for content in contents:
        octets, issues = _covers(content.url, found, meter)
        if octets is not None:
            covering.append((octets, content, issues))
    best = max((octets for octets, _, _ in covering), default=0)
    chosen = [(content, issues) for octets, content, issues in covering if octets == best]
    return [content for content, _ in chosen], tuple(dict.fromkeys(i for _, issues in chosen for i in issues))


def _covers(url: str, found: Found, meter: Meter) -> tuple[int | None, tuple[str, ...]]:
    """Octets of the pattern by which an entry covers the URL, None when it does not."""
    if not url:
        return (1 << 20, ()) if found.page else (1, ("empty_url",))
    issues: tuple[str, ...] = ()
    if "://" in url[:16]:
        try:
            here, there = origin_of(found.url), origin_of(url.split("*", 1)[0].rstrip("$") or url)
        except UrlError:
            return None, ()
        if here.host != there.host:
            return (1 << 20, ("other_origin",)) if found.inside else (None, ())
        issues = () if here == there else ("other_origin",)
        path = url.split("://", 1)[1]
        at = path.find("/")
        url = path[at:] if at >= 0 else "/"
    if not url.startswith(("/", "*")):
        url, issues = "/" + url, (*issues, "slash_supplied")
    try:
        return path_matches(url.encode("utf-8", "surrogatepass"), found.subject, meter), issues
    except TooComplex:
        return len(url), (*issues, "too_complex")


def offers(contents: Iterable[Content], words: OfferWords, party: Party) -> Iterator[Offer]:
    """What entries that cover a URL offer us, for each use they can speak of; nothing when they hold no licence."""
    pairs = [(content, licence) for content in contents for licence in content.licences]
    if not pairs:
        return
    for use in words.uses:
        yield _offer(use, pairs, words, party)


def _offer(use: str, pairs: list[tuple[Content, Licence]], words: OfferWords, party: Party) -> Offer:
    """The outcome for one use: a prohibition, else the best of what is offered."""
    for content, licence in pairs:
        permitted, prohibited = (_specific(use, table.get("usage", frozenset()), words)
                                 for table in (licence.permits, licence.prohibits))  # fmt: skip
        if prohibited and prohibited >= permitted:
            return Offer(use, "prohibited", content, licence.text, issues=_odd(licence, words))
    named = [pair for pair in pairs if _specific(use, pair[1].permits.get("usage", frozenset()), words)]
    offered = named or [pair for pair in pairs if "usage" not in pair[1].permits]
    ours = [pair for pair in offered if _for_us(pair[1], words, party)]
    if not ours:
        content, licence = (offered or pairs)[0]
        return Offer(use, "not-permitted", content, licence.text, issues=_odd(licence, words))
    graded = [(_terms(content, licence, words, party), content, licence) for content, licence in ours]
    terms, content, licence = next((item for item in graded if not item[0][0]), graded[0])
    return Offer(use, "conditional" if terms[0] else "permitted", content, licence.text, terms[1], _odd(licence, words))


def _specific(use: str, listed: frozenset[str], words: OfferWords) -> int:
    """How specifically a list of words names a use: by its name or a group of AI uses, by the word for all, or not."""
    now = {words.drafts.get(word, word) for word in listed}
    if use in now or any(use in members and group in now for group, members in words.groups.items()):
        return _BY_NAME
    return _BY_GROUP if now & set(words.everything) else 0


def _for_us(licence: Licence, words: OfferWords, party: Party) -> bool:
    """Whether an offer is open to us; what we cannot show to fulfil excludes us."""
    users, not_users = licence.permits.get("user"), licence.prohibits.get("user", frozenset())
    if users is not None and not users & (party.users | set(words.everything)):
        return False
    if not_users & (party.users | set(words.everything)):
        return False
    geo, not_geo = licence.permits.get("geo"), licence.prohibits.get("geo", frozenset())
    here = party.country.lower()
    if geo is not None and (not here or here not in geo):
        return False
    return not (not_geo and (not here or here in not_geo))


def _terms(content: Content, licence: Licence, words: OfferWords, party: Party) -> tuple[bool, tuple[str, ...]]:
    """Whether an offer asks for something that we have not promised, and what it asks for."""
    asked = [kind for kind in licence.payments if kind and kind not in words.free]
    conditions = (*asked, *licence.duties, *((content.locked,) if content.locked else ()))
    owed = [item for item in conditions if not (item in words.attribution and party.attributes)]
    return bool(owed), conditions


def _odd(licence: Licence, words: OfferWords) -> tuple[str, ...]:
    """What was odd about a licence's words: those of drafts, separators of drafts, none that is known."""
    listed = licence.permits.get("usage", frozenset()) | licence.prohibits.get("usage", frozenset())
    known = {*words.uses, *words.groups, *words.everything}
    issues = [*licence.issues]
    issues += ["draft_words"] if listed & words.drafts.keys() else []
    issues += ["unknown_words"] if listed - known - words.drafts.keys() else []
    return tuple(issues)
