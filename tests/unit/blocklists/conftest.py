"""A decision as staff writes it, to be changed key by key, and the day on which everything happens."""

import datetime as dt

import pytest

from blocklists.build import Build, compile_build
from blocklists.model import Fault

NOW = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)

HEAD = {
    "id": '"dc-example-2026-1"',
    "authority": '"District Court of Example"',
    "authority_type": '"court"',
    "country": '"DE"',
    "reference": '"7 O 1/26"',
    "date": "2026-03-02",
    "legal_basis": '"Order against access providers"',
    "finding": '"Persistent, repeated, on a commercial scale."',
    "document_url": '"https://court.example/7-O-1-26"',
    "document_sha256": '"' + "0a" * 32 + '"',
    "language": '"de"',
    "tier": "1",
    "open_ended": "true",
    "review_by": "2027-09-01",
}
ROW = {
    "host": '"pirate.example"',
    "match": '"domain"',
    "role": '"primary"',
    "status": '"active"',
    "added": "2026-03-03",
    "added_by": '"a.berg"',
    "approved_by": '["b.cole", "c.dahl"]',
    "verified_on": "2026-09-01",
}


def _table(keys: dict[str, str], changes: dict[str, str | None]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in {**keys, **changes}.items() if value is not None)


def row(**changes: str | None) -> str:
    """One [[host]] table; a key set to None is left out."""
    return "[[host]]\n" + _table(ROW, changes)


def decision(*rows: str, **changes: str | None) -> str:
    """One decision file with these rows, or the usual one."""
    return _table(HEAD, changes) + "".join(rows or (row(),))


def exception(**changes: str | None) -> str:
    keys = {
        "excepts": '"dc-example-2026-1"',
        "host": '"forum.pirate.example"',
        "match": '"domain"',
        "reason": '"The order names the shop alone."',
        "added": "2026-10-01",
        "added_by": '"a.berg"',
        "approved_by": '["b.cole"]',
        "until": "2027-06-01",
    }
    return "[[exception]]\n" + _table(keys, changes)


def is_public_suffix(host: str) -> bool:
    return host in {"co.example", "pages.example", "com"}


def compiled(
    files: dict[str, str], *, now: dt.datetime = NOW, version: str = "2026.11.22-1", because: str = ""
) -> Build:
    return compile_build(
        files,
        version=version,
        now=now,
        is_public_suffix=is_public_suffix,
        suffix_list="test",
        shrunk_because=because,
    )


def told(faults: list[Fault]) -> list[tuple[str, int, str]]:
    return [(str(fault.level), fault.line, fault.key) for fault in faults]


class Kit:
    """Everything above, for tests."""

    now = NOW
    today = NOW.date()
    row = staticmethod(row)
    decision = staticmethod(decision)
    exception = staticmethod(exception)
    compiled = staticmethod(compiled)
    is_public_suffix = staticmethod(is_public_suffix)
    told = staticmethod(told)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
