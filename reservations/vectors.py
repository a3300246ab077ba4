"""Runs language-neutral test vectors: one case in, None when we agree, else one line that says how we do not.

Two kinds of file: `robots` (one robots.txt, one token, one URL), `reservation` (everything known of one URL under one
policy). No I/O: the caller reads the file.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec

from reservations.decide import closing
from reservations.model import Answer, Category, Decision, Facts, Head, Header, Hop, Value, Want
from reservations.policy import Licence, Policy
from reservations.readers.robots_txt import RobotsTxt, product_token
from reservations.registry import Registry, Values

Case = Mapping[str, Any]

_DAY: Final = "2026-11-22"
#: What a case of kind `reservation` can expect.
_EXPECTED: Final = ("strict", "effective", "crawl", "issues", "outcome")
_DEFAULT_TOKEN: Final = "ExampleBot"
_MAX_REDIRECTS: Final = 5
_ABSENT: Final = Answer(url="", status=404)


def run_case(kind: str, case: Case, registry: Registry, policy: Policy) -> str | None:
    """A case of any kind that there is a runner for."""
    if kind == "robots":
        return run_robots(case)
    if kind == "reservation":
        return run_reservation(case, registry, policy)
    if kind == "access":
        return run_access(case, registry, policy)
    return f"no runner for cases of kind {kind!r}; there is one for: robots, reservation, access"


def run_robots(case: Case) -> str | None:
    """A case of kind `robots`."""
    if "robots_b64" in case:
        body = base64.b64decode(case["robots_b64"])
    elif "robots_parts" in case:
        body = "".join(text * repeat for text, repeat in case["robots_parts"]).encode()
    else:
        body = case["robots"].encode()
    answered = RobotsTxt.parse(body).ask(product_token(case["agent"]), case["url"])
    got = "allow" if answered.allowed else "deny"
    return None if got == case["expect"] else f"expected {case['expect']}, got {got} (line {answered.line})"


def run_reservation(case: Case, registry: Registry, policy: Policy) -> str | None:
    """A case of kind `reservation`; `policy` is the default that the case's settings change.

    `declarations` of a case: files of declarations that the operator keeps, name to text. `outcome` that is expected:
    what becomes of the URL, as a verdict ("refused") or with its reason ("refused aipref.train-ai").
    """
    settings = case.get("settings", {})
    policy = msgspec.structs.replace(
        policy,
        profile=settings.get("profile", "standard"),
        tokens=settings.get("tokens", "class"),
        purposes=tuple(Category(item) for item in settings.get("purposes", ["genai-train"])),
        licences=msgspec.convert(settings.get("licences", ()), tuple[Licence, ...]),
        **{name: settings[name] for name in ("country", "gives_attribution") if name in settings},
    )
    token = case.get("token", _DEFAULT_TOKEN)
    facts = _facts(case)
    if "declarations" in case:
        registry = registry.declaring(case["declarations"])
    wrong: list[str] = []
    values = _values(case["protocol"], facts, registry, policy, token)
    for column in ("strict", "effective"):
        for name, expected in case["expect"].get(column, {}).items():
            got = getattr(values, column).get(Category(name), Value.UNSET)
            if got != expected:
                wrong.append(f"{column} {name}: expected {expected}, got {got}")
    wrong += _wrong_besides(case["expect"], facts, registry, policy, token)
    return "; ".join(wrong) or None


#: What the suites of kind `access` call the reasons that close a page; what else ends an attempt, by its verdict.
_CLASSES: Final[Mapping[str, str]] = {
    "access.denied": "hard_denial",
    "access.legal": "hard_denial",
    "access.payment-required": "hard_denial",
    "access.challenge": "hard_denial",
    "access.login": "hard_denial",
    "access.protected-media": "hard_denial",
    "access.paywall-declared": "declared_paywall",
    "access.metered": "metered",
    "access.unclear": "unclear",
    "deferred": "transient",
    "redirected": "transient",
    "absent": "not_available",
    "failed": "not_available",
}


def access_class(case: Case, registry: Registry, policy: Policy) -> str:
    """The class of a case of kind `access`: what becomes of it, in the words of the suites."""
    body = case.get("html")
    facts = Facts(
        url=case["url"],
        documents={},
        head=Head(status=case["status"], headers=tuple(Header(*item) for item in case["headers"].items())),
        body=(body or "").encode(),
        redirected_from=tuple(
            Hop(hop.get("url", case["url"]), hop["status"], urljoin(case["url"], hop["location"]))
            for hop in case.get("redirects", ())
        ),
    )
    decision = _visit(facts, registry, msgspec.structs.replace(policy, media_types=("*/*",)), _DEFAULT_TOKEN)
    if isinstance(decision, str):
        return decision
    return _CLASSES.get(decision.reason) or _CLASSES.get(decision.verdict, "open")


def run_access(case: Case, registry: Registry, policy: Policy) -> str | None:
    """A case of kind `access`."""
    got = access_class(case, registry, policy)
    return None if got == case["expected"] else f"expected {case['expected']}, got {got}"


def protocols_of(name: str, registry: Registry) -> list[str]:
    """Ids of the protocols that vectors call by this name."""
    return [protocol.id for protocol in registry.protocols if name in protocol.vectors]


def _wrong_besides(expect: Case, facts: Facts, registry: Registry, policy: Policy, token: str) -> list[str]:
    """Disagreements over what is not a value per category."""
    wrong = []
    if "crawl" in expect:
        standings = registry.standings(facts, policy, token)
        got = "allow" if closing(standings, Category.CRAWL) is None else "deny"
        if got != expect["crawl"]:
            wrong.append(f"crawl: expected {expect['crawl']}, got {got}")
    if "issues" in expect:
        seen = {issue for signal in registry.signals(facts, policy, token) for issue in signal.issues}
        if missing := sorted(set(expect["issues"]) - seen):
            wrong.append(f"issues: missing {', '.join(missing)}, seen {', '.join(sorted(seen)) or 'none'}")
    if "outcome" in expect:
        came = _visit(facts, registry, policy, token)
        got = f"{came.verdict} {came.reason}" if isinstance(came, Decision) else came
        if expect["outcome"] not in (got, got.partition(" ")[0]):
            wrong.append(f"outcome: expected {expect['outcome']}, got {got}")
    if unknown := sorted(expect.keys() - _EXPECTED):
        wrong.append(f"expect: unknown {', '.join(unknown)}, allowed: {', '.join(_EXPECTED)}")
    return wrong


def _values(name: str, facts: Facts, registry: Registry, policy: Policy, token: str) -> Values:
    """The values of the protocol that the case is about; the combined ones for `cross`."""
    return registry.values(facts, policy, token, None if name == "cross" else protocols_of(name, registry))


def _visit(whole: Facts, registry: Registry, policy: Policy, token: str) -> Decision | str:
    """The decision of a crawler that learns the facts one by one, as they are asked for; what is not there is a 404."""
    facts = msgspec.structs.replace(whole, documents={}, head=None, body=None)
    while True:
        answer = registry.examine(facts, policy, token)
        if isinstance(answer, Decision):
            return answer
        if answer.what is Want.DOCUMENT:
            found = {one.key: _given(whole, one.key) for one in (answer, *answer.beside)}
            facts = msgspec.structs.replace(facts, documents={**facts.documents, **found})
        elif answer.what is Want.HEAD and whole.head is not None:
            facts = msgspec.structs.replace(facts, head=whole.head)
        elif answer.what is Want.BODY:
            facts = msgspec.structs.replace(facts, body=whole.body)
        else:
            return f"wants the {answer.what}"


def _given(whole: Facts, key: str) -> Answer:
    """The answer that a case holds for a document, on whosever behalf it is asked for."""
    return whole.documents.get(key.partition("#")[0], _ABSENT)


def _facts(case: Case) -> Facts:
    settings = case.get("settings", {})
    origin = case.get("origin", {})
    base = "{0.scheme}://{0.netloc}".format(urlsplit(case["url"]))
    documents = {key: _followed(key, origin, base) for key in origin}
    response = case.get("response")
    return Facts(
        url=case["url"],
        documents=documents,
        head=None if response is None else Head(status=response["status"], headers=_headers(response)),
        body=None if response is None else _body(response),
        referrer=settings.get("referrer_page"),
        media_type=settings.get("media_type"),
        attempt=settings.get("attempt", 10),
        at=int(datetime.fromisoformat(settings.get("at", _DAY)).replace(tzinfo=UTC).timestamp() * 1000),
    )


def _followed(key: str, origin: Mapping[str, Case], base: str) -> Answer:
    """The answer for a file of the origin, its redirects followed among the answers that the case holds."""
    url, hops = urljoin(base, key), []
    answer = origin[key]
    while 300 <= answer.get("status", 0) < 400:  # noqa: PLR2004 the 3xx class
        location = {name.lower(): value for name, value in answer.get("headers", [])}["location"]
        target = urljoin(url, location)
        hops.append(Hop(url, answer["status"], target))
        if len(hops) > _MAX_REDIRECTS:
            return Answer(url=url, failure="too-many-redirects", redirects=tuple(hops))
        url = target
        answer = origin.get(target.removeprefix(base), origin.get(target, {"status": 404}))
    if "error" in answer:
        return Answer(url=url, failure=answer["error"], redirects=tuple(hops))
    return Answer(url=url, status=answer["status"], headers=_headers(answer), body=_body(answer), redirects=tuple(hops))


def _headers(answer: Case) -> tuple[Header, ...]:
    return tuple(Header(name, value) for name, value in answer.get("headers", []))


def _body(answer: Case) -> bytes:
    if "body_b64" in answer:
        return base64.b64decode(answer["body_b64"])
    body: str = answer.get("body", "")
    return body.encode()
