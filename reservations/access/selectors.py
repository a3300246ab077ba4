"""Selectors as our tables and publishers' declarations write them, as XPath: `tag.class#id[attr=value]`, comma lists.

A small part of CSS (Selectors Level 4, 6 and 17), and no more on purpose: what cannot be read delimits nothing.
"""

from __future__ import annotations

import re
from typing import Final

_STEP: Final = re.compile(
    r"""(?P<mark>[.\#])(?P<name>[\w-]+)
      | \[\s*(?P<attribute>[\w:-]+)\s*(?:(?P<part>\*?)=\s*["']?(?P<value>[^"'\]]*)["']?\s*)?\]""",
    re.VERBOSE,
)
_TAG: Final = re.compile(r"[a-zA-Z][\w-]*|\*")
_MAX_SELECTOR: Final = 400


class SelectorError(ValueError):
    """The selector is not one of those that are read."""


def xpath_of(selector: str) -> str:
    """The elements that a selector means, anywhere in a page.

    >>> xpath_of("div.pw")
    "//div[contains(concat(' ',normalize-space(@class),' '),' pw ')]"
    """
    if len(selector) > _MAX_SELECTOR:
        raise SelectorError("the selector is too long")
    return " | ".join(_one(part.strip()) for part in selector.split(","))


def literal_of(selector: str) -> str:
    """The longest name in a selector, in lower case: a page without it has no such element."""
    names = [step["name"] or max(step["attribute"], step["value"] or "", key=len) for step in _STEP.finditer(selector)]
    return max(names, key=len, default="").lower()


def _one(text: str) -> str:
    tag = _TAG.match(text)
    at = tag.end() if tag else 0
    conditions = []
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or "'" in step[0].strip("[]").strip("'\""):
            raise SelectorError(f"{text!r} cannot be read; allowed: tag, .class, #id, [attribute=value], comma lists")
        conditions.append(_condition(step))
        at = step.end()
    if not conditions:
        raise SelectorError(f"{text!r} names no class, id or attribute")
    return f"//{tag[0].lower() if tag else '*'}" + "".join(f"[{condition}]" for condition in conditions)


def _condition(step: re.Match[str]) -> str:
    if step["mark"] == ".":
        return f"contains(concat(' ',normalize-space(@class),' '),' {step['name']} ')"
    if step["mark"] == "#":
        return f"@id='{step['name']}'"
    name = f"@*[name()='{step['attribute'].lower()}']" if ":" in step["attribute"] else f"@{step['attribute'].lower()}"
    if step["value"] is None:
        return name
    value = step["value"].strip()
    return f"contains({name},'{value}')" if step["part"] else f"{name}='{value}'"
