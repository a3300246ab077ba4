"""What a page's structured data says of access to it: schema.org in JSON-LD, microdata and RDFa, and SwG's inline call.

Only items that are this page count: by type, and by a URL that is absent or this page's (schema.org gives the same
property to places, events and works that are sold). Plain negatives count though malformed.
https://schema.org/isAccessibleForFree, https://www.w3.org/TR/json-ld11/, https://html.spec.whatwg.org/#microdata,
https://www.w3.org/TR/rdfa-lite/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from reservations.access.document import Document, Element, Finding
from reservations.access.tables import Schema
from reservations.readers.nested import read_json

#: The properties read, in lower case: negatives count in any.
FREE: Final = "isaccessibleforfree"
_REQUIRES: Final = "requiressubscription"
_SELECTOR: Final = "cssselector"
_URLS: Final = ("url", "mainentityofpage", "@id")
_ACTIONS: Final = ("potentialaction", "actionaccessibilityrequirement", "expectsacceptanceof")

#: A page whose octets hold none of these, in lower case, says nothing by structured data.
LITERALS: Final = ("accessibleforfree", _REQUIRES)

_MOST_NODES: Final = 2000
_MOST_TEXT: Final = 1 << 20
_WRAPPED: Final = re.compile(
    r"^\s*(?:(?:/[/*])?\s*(?:<!\[CDATA\[|<!--)(?:\s*\*/)?)+|(?:(?://|/\*)?\s*(?:\]\]>|-->)(?:\s*\*/)?)+\s*$|;\s*$"
)
_DECODER: Final = json.JSONDecoder(strict=False)
_LAST_COMMA: Final = re.compile(r",(?=\s*[}\]])")
_KEY: Final = r"is_?accessible_?for_?free(?:&quot;|[\"'\\\s])*[:=](?:&quot;|[\"'\\\s])*"
_PLAIN: Final = re.compile(_KEY + r"(?:https?://schema\.org/)?(?:false|!1)\b", re.IGNORECASE)
_PLAIN_TRUE: Final = re.compile(_KEY + r"(?:true|!0)\b", re.IGNORECASE)


class Item(NamedTuple):
    """One item of structured data, whatever it was written in.

    Attributes:
        types: bare names; urls: what it calls itself; values: as written.
        role: the property of another item that it is the value of, in lower case; empty: of none.
    """

    carrier: str
    locator: str
    types: frozenset[str]
    urls: tuple[str, ...]
    values: tuple[object, ...]
    role: str = ""
    selectors: tuple[str, ...] = ()
    exact: bool = True


class Words:
    """The table of schema.org's words, ready to be asked."""

    def __init__(self, table: Schema) -> None:
        self.pages = frozenset(map(str.lower, table.page_types))
        self.parts = frozenset(map(str.lower, table.part_types))
        self.sites = frozenset(map(str.lower, table.site_types))
        self.media = {name.lower(): says for name, says in table.media_types.items()}
        self.truth = {**dict.fromkeys(table.closed, "closed"), **dict.fromkeys(table.free, "free")}
        self.same = frozenset(map(str.lower, table.same))
        self.part_roles = frozenset(map(str.lower, table.parts))
        self.other_roles = frozenset(map(str.lower, table.others))
        self.marks = tuple(map(str.lower, table.inline_marks))

    def says(self, value: object) -> str:
        """What a value of the property says: "closed", "free", "unclear", or "" when it is silent."""
        if isinstance(value, list):
            said = [self.says(item) for item in value[:20]]
            return next((word for word in ("closed", "unclear", "free") if word in said), "")
        if isinstance(value, dict):
            return self.says(value.get("@value", value.get("@id")))
        if isinstance(value, bool):
            return "free" if value else "closed"
        if value is None:
            return ""
        return self.truth.get(str(value).strip().lower(), "unclear")


def read_structured(document: Document, words: Words) -> list[Finding]:
    """Everything that structured data says of access to this page."""
    items: list[Item] = []
    found: list[Finding] = []
    for script in document.scripts:
        if script.kind == "application/ld+json":
            items.extend(_from_json(script.text[:_MOST_TEXT], f"JSON-LD {script.number}", words, found))
        elif script.text and not script.src:
            found.extend(_inline(script.text, script.number, words))
    items += _scoped(document, _MICRODATA)
    items += _scoped(document, _RDFA)
    for item in items:
        found.extend(_judged(item, document, words))
    return found


def read_plain(text: str) -> list[Finding]:
    """The plain negative in a page that cannot be parsed."""
    match = _PLAIN.search(text)
    return [Finding("closed", "octets", "isAccessibleForFree", _around(text, match), ("malformed",))] if match else []


# -- what an item says of this page ------------------------------------------------------------------------------------


def _judged(item: Item, document: Document, words: Words) -> Iterator[Finding]:
    types = frozenset(map(str.lower, item.types))
    kind = _kind(item, types, document, words)
    for value in item.values if kind else ():
        said = words.says(value)
        if not said or (said == "free" and (kind != "page" or not item.exact)):
            continue
        name = "/".join(sorted(item.types)) or "an item without type"
        place = (item.carrier, f"{item.locator} {name}", f"isAccessibleForFree: {json.dumps(value, default=str)}")
        issues = () if item.exact else ("case",)
        if kind in ("page", "part"):
            selectors = item.selectors if kind == "part" else ()
            yield Finding(said, *place, issues, selectors if said == "closed" else ())
        elif said == "closed":
            yield Finding("unclear" if kind in ("site", "perhaps") else kind, *place, issues)


def _kind(item: Item, types: frozenset[str], document: Document, words: Words) -> str:
    """What an item is to this page: "page", "part", "site", "perhaps", a medium, or "" for anything else."""
    if item.role in words.other_roles:
        return ""
    if media := sorted(words.media[name] for name in types & words.media.keys()):
        return media[0]
    if types & words.parts or item.role in words.part_roles:
        ours = not types or (types & (words.parts | words.pages) and _is_this(item, document))
        return "part" if ours else ""
    if types & words.sites:
        return "site"
    if (types and not types & words.pages) or not _is_this(item, document):
        return ""
    strange = item.role and item.role not in words.same and not any(map(document.is_this, item.urls))
    return "perhaps" if strange else "page"


def _is_this(item: Item, document: Document) -> bool:
    """Whether an item's own URLs, if it has any, name this page. A mere identifier inside of some page is no URL."""
    named = [url for url in item.urls if document.is_this(url)]
    return bool(named) or not [url for url in item.urls if "#" not in url and not url.startswith(("_:", "urn:"))]


# -- JSON-LD -----------------------------------------------------------------------------------------------------------


def _from_json(text: str, locator: str, words: Words, found: list[Finding]) -> Iterator[Item]:
    document = _parsed(text)
    if document is None:
        if match := _PLAIN.search(text):
            found.append(Finding("closed", "json_ld", locator, _around(text, match), ("malformed",)))
        return
    for node, role in _nodes(document, words):
        values = tuple(node[key] for key in (FREE,) if key in node)
        if _requires_subscription(node):
            values = (*values, False)
        if values:
            yield Item(
                "json_ld", locator, _types(node), tuple(_references(node)), values, role, tuple(_selectors(node)),
                exact="\0exact" in node,
            )  # fmt: skip


def _parsed(text: str) -> object | None:
    """The JSON in a script: wrappers of other languages, raw line ends and commas too many are forgiven."""
    plain, peeled = "", text
    for _ in range(3):
        plain, peeled = peeled, _WRAPPED.sub("", peeled)
        if peeled == plain:
            break
    for mended in (False, True):
        try:
            return read_json(_LAST_COMMA.sub("", peeled) if mended else peeled, _DECODER.decode)  # type: ignore[no-any-return]
        except ValueError:
            continue
    return None


def _nodes(document: object, words: Words) -> Iterator[tuple[dict[str, Any], str]]:
    """Items that may be the page, its parts and its media, each with the property that led to it."""
    todo: list[tuple[object, str]] = [(document, "")]
    for _ in range(_MOST_NODES):
        if not todo:
            return
        value, role = todo.pop(0)
        if isinstance(value, list):
            todo.extend((item, role) for item in value[:_MOST_NODES])
        elif isinstance(value, dict):
            node = _plain_keys(value)
            yield node, role
            for key, inner in node.items():
                if key == "@graph":
                    todo.append((inner, role))
                elif key in words.same or key in words.part_roles or key in _MEDIA_ROLES:
                    todo.append((inner, key))


_MEDIA_ROLES: Final = frozenset({"video", "audio", "image", "associatedmedia", "encoding"})


def _plain_keys(node: Mapping[str, Any]) -> dict[str, Any]:
    """An object by its keys' own names in lower case, without prefix or vocabulary."""
    names = [_name(key) for key in node]
    plain = {name.lower(): value for name, value in zip(names, node.values(), strict=True)}
    if "isAccessibleForFree" in names or "requiresSubscription" in names or FREE not in plain:
        plain["\0exact"] = True
    return plain


def _name(term: object) -> str:
    """`NewsArticle` of `schema:NewsArticle` and of `http://schema.org/NewsArticle`."""
    text = str(term).strip()
    return text if text.startswith("@") else text[max(map(text.rfind, "/:#")) + 1 :]


def _types(node: Mapping[str, Any]) -> frozenset[str]:
    value = node.get("@type", ())
    listed = value if isinstance(value, list) else [value] if value else []
    return frozenset(_name(item) for item in listed[:20])


def _references(node: Mapping[str, Any]) -> Iterator[str]:
    for key in _URLS:
        value = node.get(key)
        for item in value[:20] if isinstance(value, list) else [value]:
            named = item.get("@id", item.get("url")) if isinstance(item, dict) else item
            if isinstance(named, str) and named.strip():
                yield named


def _selectors(node: Mapping[str, Any]) -> Iterator[str]:
    value = node.get(_SELECTOR)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and item.strip():
            yield item.strip()


def _requires_subscription(node: Mapping[str, Any]) -> bool:
    """Whether an item, or an action on it, asks for a subscription."""
    todo: list[tuple[object, int]] = [(node, 0)]
    while todo:
        value, depth = todo.pop()
        if isinstance(value, list):
            todo.extend((item, depth) for item in value[:50])
        elif isinstance(value, dict):
            plain = _plain_keys(value)
            asked = plain.get(_REQUIRES)
            if asked is True or str(asked).strip().lower() in (
                "true",
                "https://schema.org/true",
                "http://schema.org/true",
            ):
                return True
            if depth < len(_ACTIONS):
                todo.extend((plain[key], depth + 1) for key in _ACTIONS if key in plain)
    return False


# -- microdata and RDFa ------------------------------------------------------------------------------------------------


class _Syntax(NamedTuple):
    """The attributes by which items are written into elements."""

    carrier: str
    scope: str
    types: str
    property: str
    named: tuple[str, ...]


_MICRODATA: Final = _Syntax("microdata", "itemscope", "itemtype", "itemprop", ("itemid",))
_RDFA: Final = _Syntax("rdfa", "typeof", "typeof", "property", ("resource", "about"))


def _scoped(document: Document, syntax: _Syntax) -> Iterator[Item]:
    for number, element in enumerate(document.find(f"//*[@{syntax.property}]"), start=1):
        names = [_name(term) for term in (element.get(syntax.property) or "").split()]
        lowered = [name.lower() for name in names]
        if FREE not in lowered and _REQUIRES not in lowered:
            continue
        value: object = _value(element)
        if FREE not in lowered:
            if str(value).strip().lower() != "true":
                continue
            value = False
        scope = next((item for item in element.iterancestors() if item.get(syntax.scope) is not None), None)
        exact = "isAccessibleForFree" in names
        place = (syntax.carrier, f"{syntax.carrier} {number}")
        if scope is None:
            yield Item(*place, frozenset(), (), (value,), exact=exact)
            continue
        yield Item(
            *place,
            types=frozenset(_name(term) for term in (scope.get(syntax.types) or "").split()),
            urls=tuple(_said_urls(scope, syntax)),
            values=(value,),
            role=next((_name(term).lower() for term in (scope.get(syntax.property) or "").split()), ""),
            selectors=tuple(_said(scope, syntax, _SELECTOR)),
            exact=exact,
        )


def _value(element: Element) -> str:
    for attribute in ("content", "href", "resource", "value"):
        if (value := element.get(attribute)) is not None:
            return str(value)
    return "".join(element.itertext())[:200]


def _said(scope: Element, syntax: _Syntax, name: str) -> Iterator[str]:
    """Values of one property of an item, not of items inside of it."""
    for element in scope.iterdescendants():
        terms = element.get(syntax.property)
        if terms and name in (_name(term).lower() for term in terms.split()):
            owner = next((item for item in element.iterancestors() if item.get(syntax.scope) is not None), None)
            if owner is scope:
                yield _value(element)


def _said_urls(scope: Element, syntax: _Syntax) -> Iterator[str]:
    for attribute in syntax.named:
        if value := scope.get(attribute):
            yield value
    for name in ("url", "mainentityofpage"):
        yield from _said(scope, syntax, name)


# -- Subscribe with Google ---------------------------------------------------------------------------------------------


def _inline(text: str, number: int, words: Words) -> Iterator[Finding]:
    """The call that tells the client whether the page is free."""
    lowered = text.lower()
    if FREE not in lowered or not any(mark in lowered for mark in words.marks):
        return
    if match := _PLAIN.search(text):
        yield Finding("closed", "script", f"script {number}", _around(text, match))
    elif match := _PLAIN_TRUE.search(text):
        yield Finding("free", "script", f"script {number}", _around(text, match))


def _around(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 20) : match.end() + 20]


def all_closed_parts_delimited(findings: Iterable[Finding]) -> bool:
    """Whether each declaration that closes is one of a part, with its selector, or of the whole around it."""
    closed = [finding for finding in findings if finding.says == "closed"]
    return any(finding.delimits for finding in closed) and all(
        finding.delimits or finding.carrier in ("json_ld", "microdata", "rdfa") for finding in closed
    )
