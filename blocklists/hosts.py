"""Is a text the name of a host as the list writes it: the canonical A-label form, and nothing around it.

Labels as RFC 5890 2.3.1 (https://www.rfc-editor.org/rfc/rfc5890#section-2.3.1), lengths as RFC 1035 2.3.4
(https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4), canonical form as `reservations.urls`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from reservations.urls import UrlError, canonical_url, origin_of

_MAX_CHARS: Final = 253
_NAME: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

#: What people paste instead of a host, the most telling first: pattern, what it is, what to write.
_PASTED: Final = tuple(
    (re.compile(pattern), what, allowed)
    for pattern, what, allowed in (
        (r"[a-zA-Z][a-zA-Z0-9+.-]*://", "begins with a scheme", "Write the name alone, without https://."),
        (r".*@", "has a user name before the host", "Write the name after the @ alone."),
        (r".*\*", "has a wildcard", 'Write the name without *; match = "domain" covers everything below it.'),
        (
            r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)(?:[:/].*)?$|.*[\[\]]|.*:.*:",
            "is an address",
            "Only names can be listed: sites share addresses.",
        ),
        (r".*[/?#\\]", "has a path", 'Write the name alone; for one folder use match = "path" and path = "/folder".'),
        (r".*:[0-9]*$", "has a port", "Write the name without the port."),
        (r"\.|.*\.$", "begins or ends with a dot", "Write the name without it."),
        (r"[^.]*$", "is a single word: a whole top-level domain, or a name of no public site", "Write the full name."),
    )
)


def host_fault(host: str) -> tuple[str, str] | None:
    """What is wrong with a host and what to write instead; None when it stands as the list wants it.

    >>> host_fault("https://pirate.example")
    ('"https://pirate.example" begins with a scheme.', 'Write the name alone, without https://.')
    """
    for pattern, what, allowed in _PASTED:
        if pattern.match(host):
            return f'"{host}" {what}.', allowed
    canonical = _canonical(host)
    if canonical is not None and canonical != host:
        return f'"{host}" is not in the form in which hosts are compared.', f'Write "{canonical}".'
    if canonical is None or len(host) > _MAX_CHARS or _NAME.fullmatch(host) is None:
        return (
            f'"{host}" is not the name of a host.',
            "A name is words of small letters, digits and inner hyphens, at most 63 each and 253 together, with dots.",
        )
    return None


def mixed_scripts(host: str) -> bool:
    """Whether a word of the name mixes alphabets, as names that imitate others do."""
    return any(len(_scripts(label)) > 1 for label in host.split(".") if label.startswith("xn--"))


def _scripts(label: str) -> set[str]:
    text = label.removeprefix("xn--").encode().decode("punycode")
    return {unicodedata.name(letter, "?").partition(" ")[0] for letter in text if letter.isalpha()} - _TOGETHER


#: Scripts that Japanese and Korean write together.
_TOGETHER: Final = frozenset({"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "CJK"})


def _canonical(host: str) -> str | None:
    try:
        return origin_of(canonical_url(f"https://{host}/")).host
    except UrlError:
        return None
