"""The rules in force (policy, protocols, crawler tokens, blocklist, suffix list) as one bundle with one digest.

`Rules.examine` is the one function that decides. Door, `check` and replay call it; it does no input or output. What
it needs is loaded once, here, from the package's data files or from the operator's own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from blocklists.match import Blocklist, signals_for
from reservations import urls
from reservations.access.reviews import REVIEWS_FILE
from reservations.access.tables import PAGE_TABLES
from reservations.declarations import DECLARATIONS, ONIX, SNAPSHOT
from reservations.model import Decision, Facts, Signal, Verdict, Wants
from reservations.overlay import Weakening, merge, weakenings
from reservations.policy import Policy
from reservations.registry import Registry

_CLOSED: Final = {"blocklist": Verdict.REFUSED, "head": Verdict.ABORTED, "body": Verdict.DISCARDED}
SHIPPED_POLICY: Final = "eu-gpai.toml"


def _texts(package: str, suffix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(resources.files(package).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(suffix):
            yield entry.name, entry.read_text("utf-8")


def shipped_protocols() -> dict[str, str]:
    """The package's protocol files, and the tables by which pages are judged: name to TOML text."""
    tables = {f"{PAGE_TABLES}{name}": text for name, text in _texts("reservations.access", ".toml")}
    return {**dict(_texts("reservations.protocols", ".toml")), **tables}


def added_protocols(folder: Path | None) -> dict[str, str]:
    """The protocol files in an operator's folder, and its files of declarations on works: name to text.

    Raises:
        OSError: the folder or a file in it cannot be read, or is not UTF-8.
    """
    if folder is None:
        return {}
    texts = {}
    declared = (path for end in (SNAPSHOT, ONIX) for path in folder.glob(f"{DECLARATIONS}*{end}"))
    for path in sorted((*folder.glob("*.toml"), *declared)):
        try:
            texts[path.relative_to(folder).as_posix()] = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise OSError(f"{path} is not UTF-8: {error.reason}") from error
    return texts


def site_reviews(folder: Path | None) -> str:
    """What people decided on sites, from an operator's folder as TOML text; empty when nothing.

    Raises:
        OSError: the file is there and cannot be read, or is not UTF-8.
    """
    if folder is None or not (path := folder / REVIEWS_FILE).exists():
        return ""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise OSError(f"{path} is not UTF-8: {error.reason}") from error


def shipped_policy() -> str:
    """The package's default policy as TOML text."""
    return resources.files("reservations.policies").joinpath(SHIPPED_POLICY).read_text("utf-8")


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Every text that the rules were made of, to be kept beside the log.

    The compiled blocklist may be large, so only its manifest stands here (with its digest), empty when none is in
    force; the list lies beside it. `reviews`: what people decided on sites, empty when nothing.
    """

    policy_name: str
    policy: str
    protocols: dict[str, str]
    blocklist_manifest: str = ""
    reviews: str = ""
    tokens: tuple[str, ...]

    def encode(self) -> bytes:
        """The bundle as canonical JSON; its digest is the rules' digest."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def digest(self) -> str:
        """Digest over `encode()`, "sha256:<hex>"."""
        return "sha256:" + hashlib.sha256(self.encode()).hexdigest()


class Rules:
    """All rules of one crawl, ready to decide.

    Attributes:
        policy: the policy in force.
        registry: the protocols in force.
        blocklist: the compiled list, or None when the operator stated that none is in force.
        tokens: product tokens that bind us, our own first.
        bundle: the texts it was made of.
        digest: digest over the bundle.
    """

    def __init__(self, bundle: Bundle, blocklist: Blocklist | None = None) -> None:
        self.bundle = bundle
        self.digest = bundle.digest
        self.tokens = bundle.tokens
        self.policy = Policy.from_toml(bundle.policy, file=bundle.policy_name)
        self.registry = Registry.load(bundle.protocols, bundle.reviews)
        self.blocklist = blocklist
        self._free: object = None

    @classmethod
    def load(
        cls,
        *,
        tokens: tuple[str, ...],
        policy: Path | None = None,
        blocklist: tuple[Blocklist, bytes] | None = None,
        protocols: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> Rules:
        """The rules from files: the shipped policy and protocols where none are named.

        Args:
            tokens: product tokens that bind us, our own first.
            policy: a policy file of the operator's.
            blocklist: compiled list, whose signature the caller has verified, and its manifest's bytes.
            protocols: protocol files in place of the shipped ones.
            data: folder with protocol files of the operator's, beside the shipped ones or in their place.

        Raises:
            reservations.definition.DefinitionError: every fault of the data files, with file, line and key.
            OSError: the policy file, or a file in the folder, cannot be read.
        """
        listed, manifest = blocklist or (None, b"")
        bundle = Bundle(
            policy_name=str(policy) if policy else SHIPPED_POLICY,
            policy=policy.read_text("utf-8") if policy else shipped_policy(),
            protocols=merge(protocols or shipped_protocols(), added_protocols(data)),
            blocklist_manifest=manifest.decode(),
            reviews=site_reviews(data),
            tokens=tokens,
        )
        return cls(bundle, listed)

    @cached_property
    def weakened(self) -> tuple[Weakening, ...]:
        """What is weaker than the shipped floor, in the policy and in protocol files, and who answers for it."""
        by_policy = [
            Weakening(f"{item.setting} = {getattr(self.policy, item.setting)}", item.approver, item.reason)
            for item in self.policy.weakened
        ]
        return (*by_policy, *weakenings(shipped_protocols(), self.bundle.protocols))

    def with_blocklist(self, blocklist: Blocklist, manifest: bytes) -> Rules:
        """The same rules under another list, whose signature the caller has verified."""
        return Rules(msgspec.structs.replace(self.bundle, blocklist_manifest=manifest.decode()), blocklist)

    def examine(self, facts: Facts) -> Decision | Wants:
        """What follows from the facts, or what is still missing. Same facts, same rules: same bytes."""
        return self._outside(facts) or self.registry.examine(facts, self.policy, self.tokens[0])

    def conclude(self, facts: Facts, *, recorded: Sequence[Signal], stage: str) -> Decision | None:
        """The decision at a stage of which not all bytes are left; see `Registry.conclude`."""
        return self._outside(facts) or self.registry.conclude(
            facts, self.policy, self.tokens[0], recorded=recorded, stage=stage
        )

    def _outside(self, facts: Facts) -> Decision | None:
        """What keeps a URL from being asked for whatever anybody says about it."""
        asked = (facts.url, facts.at, facts.redirected_from)
        if asked == self._free:  # the step before was about the same attempt, and nothing kept it
            return None
        fault = urls.faults(facts.url, self.policy)
        kept = Decision(verdict=Verdict.REFUSED, reason=fault, gate="url") if fault else self.listed(facts)
        if kept is None:
            self._free = asked
        return kept

    def listed(self, facts: Facts) -> Decision | None:
        """What the blocklist says of a URL, None when nothing."""
        if self.blocklist is None:
            return None
        on = dt.datetime.fromtimestamp(facts.at / 1000, dt.UTC).date()
        hit = self.blocklist.match(facts.url, on)
        if hit is not None:
            return _listed_at(facts, signals_for(hit), held=hit.held)
        for hop in facts.redirected_from:
            if (sender := self.blocklist.match(hop.url, on)) is not None:
                # Mirrors are not inferred: staff decides whether the new host belongs to the listed one.
                signal = signals_for(sender)
                signal = msgspec.structs.replace(signal, issues=(*signal.issues, "redirected-from-listed"))
                return _listed_at(facts, signal, held=True)
        return None

    def teaser(self, facts: Facts) -> str:
        """The words that may be kept of a page decided on with `access.teaser`."""
        return self.registry.teaser(facts)

    def crawl_delay_s(self, facts: Facts) -> float:
        """The Crawl-delay that robots.txt asks of us, in seconds; 0 when it asks for none."""
        return self.registry.crawl_delay_s(facts, self.tokens)

    def sitemaps(self, facts: Facts) -> tuple[str, ...]:
        """The sitemaps that robots.txt names, as absolute URLs as written."""
        return self.registry.sitemaps(facts)


def _listed_at(facts: Facts, signal: Signal, *, held: bool) -> Decision:
    """What becomes of a listed URL; also when its list came into force while the page was under way."""
    gate = "blocklist" if facts.head is None else "head" if facts.body is None else "body"
    verdict = Verdict.HELD if held else _CLOSED[gate]
    consulted = {key: answer.failure or str(answer.status) for key, answer in facts.documents.items()}
    return Decision(verdict=verdict, reason="blocklist.listed", gate=gate, signals=(signal,), consulted=consulted)
