"""The KNOCKFIRST_* settings: one table, read once, all faults reported together.

What a setting may vary is how and where we crawl. Obedience is in the policy file, never here (design: obedience is
no setting).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from crawler import identity
from crawler.clock import steady
from crawler.download.addresses import parse_resolve
from crawler.download.tls import client_context
from crawler.frontier import open_frontier
from crawler.frontier.interface import LEASE_S, FrontierError

PREFIX: Final = "KNOCKFIRST_"


class Fault(msgspec.Struct, frozen=True):
    """One reason why the crawl does not start: where it stands, what is wrong, what to do."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n    -> {self.remedy}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one crawl, checked."""

    out: Path
    operator: str
    contact: str
    token: str
    policy: Path | None
    data: Path | None
    frontier: str
    key: Path
    blocklist: Path | None
    blocklist_keys: tuple[str, ...]
    no_blocklist: str
    allow_private_addresses: bool
    resolve: str
    ca_file: Path | None
    backoff_s: float
    max_per_host: int
    max_per_site: int
    max_per_address: int
    lease_s: float
    recrawl_days: float

    @property
    def shared(self) -> bool:
        """Whether other workers may be on the same frontier: it is not the one in this output folder."""
        return self.frontier != _own_frontier(self.out)

    @property
    def identity(self) -> identity.Identity:
        """Who the operator is to sites."""
        return identity.Identity(token=self.token, operator=self.operator, contact=self.contact)


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its field in `Options`, how its value is read, what it is for."""

    field: str
    read: Callable[[Any], Any]
    default: Any
    text: str
    check: Callable[[Any], str | None] = lambda _value: None
    required: bool = False

    @property
    def name(self) -> str:
        """The setting's name in Scrapy."""
        return PREFIX + self.field.removesuffix("_s").upper()


def _own_frontier(out: Path) -> str:
    return f"sqlite:///{out / 'frontier.db'}"


def _flag(value: object) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return known[str(value).lower()]
    except KeyError:
        raise ValueError("True or False") from None


def _path(value: object) -> Path | None:
    return Path(str(value)).expanduser() if value else None


def _words(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _seconds(value: object) -> float:
    number = float(str(value))
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("a number of seconds, 0 or more")
    return number


def _days(value: object) -> float:
    number = float(str(value))
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("a number of days, 0 or more")
    return number


def _term(value: object) -> float:
    number = _seconds(value)
    if number < 1:
        raise ValueError("a number of seconds, 1 or more")
    return number


def _count(value: object) -> int:
    number = int(str(value))
    if number < 0:
        raise ValueError("a whole number, 0 or more")
    return number


def _resolve_fault(text: str) -> str | None:
    try:
        parse_resolve(text)
    except (ValueError, OSError) as error:
        return f"host=address,... or @file with one host=address a line ({error})"
    return None


def _frontier_fault(text: str) -> str | None:
    try:
        open_frontier(text, now=steady)
    except FrontierError as error:
        return error.remedy
    return None


def _ca_fault(path: Path) -> str | None:
    try:
        client_context(path)
    except OSError as error:
        return f"give a file of PEM certificates ({error})"
    return None


def _existing(path: Path | None) -> str | None:
    return None if path is None or path.exists() else "there is no such file; give the path of one that exists"


def _folder(path: Path | None) -> str | None:
    return None if path is None or path.is_dir() else "there is no such folder; give the path of one that exists"


OPTIONS: Final[tuple[Option, ...]] = (
    Option(field="out", read=_path, default="", text="Output folder of the crawl. Default: out/<spider>."),
    Option(
        field="operator",
        read=str,
        default="",
        required=True,
        check=identity.text_fault,
        text="Name of the organisation that answers for the crawl. Sent in every request. Required.",
    ),
    Option(
        field="contact",
        read=str,
        default="",
        required=True,
        check=identity.contact_fault,
        text="https URL of the crawler's page, or an e-mail address, where a site can object. Sent. Required.",
    ),
    Option(
        field="token",
        read=str,
        default=identity.HOUSE_TOKEN,
        check=identity.token_fault,
        text="Product token: sent in User-Agent, matched in robots.txt. A group for KnockfirstBot binds besides.",
    ),
    Option(
        field="policy",
        read=_path,
        default="",
        check=_existing,
        text="Policy file (TOML). Default: the shipped eu-gpai policy.",
    ),
    Option(
        field="data",
        read=_path,
        default="",
        check=_folder,
        text="Folder with protocol files (TOML) of your own: more protocols and restrictions. See docs/protocols.md.",
    ),
    Option(
        field="frontier",
        read=str,
        default="",
        check=_frontier_fault,
        text="The queue's URL: sqlite:///path, or valkey://... for many machines. Default: frontier.db in the output.",
    ),
    Option(
        field="key",
        read=_path,
        default="~/.config/knockfirst/log.key",
        text="Private key that signs the log; made on first use, mode 0600, never inside the output folder.",
    ),
    Option(
        field="blocklist",
        read=_path,
        default="",
        check=_existing,
        text="Folder of a compiled, signed blocklist build with at least one dated EU/EEA source.",
    ),
    Option(
        field="blocklist_keys",
        read=_words,
        default=(),
        text="Public keys of the staff whose signature on a blocklist build is accepted (comma separated).",
    ),
    Option(
        field="no_blocklist",
        read=str,
        default="",
        text="The operator's own sentence why no blocklist is in force. Stands in the log and every report.",
    ),
    Option(
        field="allow_private_addresses",
        read=_flag,
        default=False,
        text="Tests on loopback only: lets the crawl connect to private addresses. Written into the log.",
    ),
    Option(
        field="resolve",
        read=str,
        default="",
        check=_resolve_fault,
        text="Tests only: names to addresses, host=127.0.0.9,... or @file. Written into the log.",
    ),
    Option(
        field="ca_file",
        read=_path,
        default="",
        check=_ca_fault,
        text="PEM file with certificate authorities to trust besides the usual ones. Written into the log.",
    ),
    Option(
        field="backoff_s",
        read=_seconds,
        default=60.0,
        text="Seconds before the second try of a URL that failed for the moment; doubled each time, at most 3600.",
    ),
    Option(
        field="max_per_host",
        read=_count,
        default=0,
        text="Most URLs asked for on one authority in this crawl; 0: no limit.",
    ),
    Option(
        field="max_per_site",
        read=_count,
        default=0,
        text="Most URLs asked for on one registrable domain in this crawl; 0: no limit.",
    ),
    Option(
        field="max_per_address",
        read=_count,
        default=16,
        text="Most hosts of one IP address asked at the same time, by all workers together; 0: no limit.",
    ),
    Option(
        field="recrawl_days",
        read=_days,
        default=0.0,
        text="Days after which a URL is asked for again, whatever came of it: the crawl then has no end; 0: never.",
    ),
    Option(
        field="lease_s",
        read=_term,
        default=LEASE_S,
        text="Seconds after which a worker that is not heard of loses the URLs it has claimed; at least 1.",
    ),
)


def _read_one(option: Option, value: object) -> tuple[Any, Fault | None]:
    try:
        read = option.read(value)
    except (ValueError, TypeError) as error:
        return None, Fault(option.name, f"{value!r} is not understood", f"give {error}")
    if option.required and not read:
        return None, Fault(option.name, "is not set", option.text)
    problem = option.check(read) if read else None
    return read, Fault(option.name, f"{value!r} cannot be used", problem) if problem else None


def read_options(settings: Mapping[str, Any], spider_name: str) -> tuple[Options, list[Fault]]:
    """The options in `settings`, and every fault found.

    An option that cannot be used has its default, so that the rest can be looked at, and all be reported together.
    """
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    known = {option.name for option in OPTIONS}
    faults.extend(
        Fault(str(name), "is no setting of Knockfirst", "see docs/settings.md for the list")
        for name in settings
        if str(name).startswith(PREFIX) and name not in known
    )
    for option in OPTIONS:
        raw = settings.get(option.name)
        values[option.field], fault = _read_one(option, option.default if raw is None else raw)
        if fault:
            faults.append(fault)
            values[option.field] = option.read(option.default)
    if not settings.get(PREFIX + "BLOCKLIST") and not values["no_blocklist"]:
        faults.append(
            Fault(
                PREFIX + "BLOCKLIST",
                "no list of infringing sites is in force",
                "name a compiled build, or state in KNOCKFIRST_NO_BLOCKLIST why there is none (it stands in the log)",
            )
        )
    if values["blocklist"] and not values["blocklist_keys"]:
        faults.append(
            Fault(PREFIX + "BLOCKLIST_KEYS", "is empty", "name the public keys of the staff who sign your builds")
        )
    values["out"] = values["out"] or Path("out") / spider_name
    values["frontier"] = values["frontier"] or _own_frontier(values["out"])
    return Options(**values), faults
