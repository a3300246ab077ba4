"""The shipped protocols and policy, and facts in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reservations.model import Answer, Decision, Facts, Head, Header
from reservations.policy import Policy
from reservations.registry import Registry

_PACKAGE = Path(__file__).resolve().parents[3] / "reservations"

URL = "https://site.example/a"
ABSENT = Answer(url="", status=404)
OTHER_FILES = ("/ai.txt", "/.well-known/ai.txt", "/trust.txt", "/.well-known/trust.txt")


@pytest.fixture(scope="session")
def protocol_texts() -> dict[str, str]:
    tables = {f"access/{path.name}": path.read_text("utf-8") for path in (_PACKAGE / "access").glob("*.toml")}
    return {path.name: path.read_text("utf-8") for path in (_PACKAGE / "protocols").glob("*.toml")} | tables


@pytest.fixture(scope="session")
def policy_text() -> str:
    return (_PACKAGE / "policies" / "eu-gpai.toml").read_text("utf-8")


@pytest.fixture(scope="session")
def registry(protocol_texts: dict[str, str]) -> Registry:
    return Registry.load(protocol_texts)


@pytest.fixture(scope="session")
def policy(policy_text: str) -> Policy:
    return Policy.from_toml(policy_text, file="eu-gpai.toml")


def head_of(status: int = 200, *fields: tuple[str, str], html: bool = True) -> Head:
    own = [("Content-Type", "text/html; charset=utf-8")] if html else []
    return Head(status=status, headers=tuple(Header(name, value) for name, value in [*own, *fields]))


@pytest.fixture(scope="session")
def make_facts() -> Callable[..., Facts]:
    """Facts of `URL`: robots.txt and tdmrep.json as text or Answer, other documents by key, head, body.

    The other files of an origin are absent unless they are given.
    """

    def make(
        robots: str | bytes | Answer | None = ABSENT,
        tdmrep: str | bytes | Answer | None = ABSENT,
        head: Head | None = None,
        body: bytes | None = None,
        documents: Mapping[str, str | bytes | Answer | None] | None = None,
        **more,
    ) -> Facts:
        documents = {
            **dict.fromkeys(OTHER_FILES, ABSENT),
            "/robots.txt": robots,
            "/.well-known/tdmrep.json": tdmrep,
            **(documents or {}),
        }
        answers = {
            path: item if isinstance(item, Answer) else Answer(url="", status=200, body=_octets(item))
            for path, item in documents.items()
            if item is not None
        }
        return Facts(**{"url": URL, "documents": answers, "head": head, "body": body, **more})

    return make


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.fixture(scope="session")
def make_head() -> Callable[..., Head]:
    return head_of


@pytest.fixture
def decide_on(registry: Registry, policy: Policy) -> Callable[[Facts], Decision]:
    """What the shipped rules decide; fails when they want more."""

    def decide(facts: Facts, policy: Policy = policy) -> Decision:
        decision = registry.examine(facts, policy, "ExampleBot")
        assert isinstance(decision, Decision), decision
        return decision

    return decide
