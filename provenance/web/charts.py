"""Charts as SVG, made here: stacked bars over time, horizontal bars. Each has a table beside it that says the same.

No style attribute and no script: colours come from the style sheet by class, and every bar has a title.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from markupsafe import Markup

from provenance.escaping import in_html
from provenance.index import ALL_SITES, SITE_UNITS, UNITS
from provenance.lookup import Lookup, Row
from reservations.model import Verdict

_WIDTH: Final = 860
_HEIGHT: Final = 200
_LEFT: Final = 56
_FOOT: Final = 26
_BAR: Final = 22
_LABEL: Final = 300
_MOST_BARS: Final = 240
_FEWEST_BARS: Final = 3
_NAMES: Final = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}
_FORMS: Final = {1: "%H:%M:%S", 60: "%d %b %H:%M", 3_600: "%d %b %H:%M", 86_400: "%d %b %Y"}
_MOST_LABELS: Final = 6
_COUNTED_HERE: Final = 20_000
#: So many reasons have a colour; the rest is one bar together.
_MOST_NAMES: Final = 7
_OTHERS: Final = "others"
#: The reason of what was kept has the colour of what was kept.
_OPEN: Final = "policy.open"
_ONE_BY_ONE: Final = (
    "SELECT at / 1000 AS at, {} AS name, count(*) AS n FROM entry WHERE {} AND verdict IS NOT NULL "
    "GROUP BY 1, 2 ORDER BY 1"
)
_OVER_TIME: Final = (
    "SELECT at, {} AS name, sum(n) AS n FROM tally WHERE site = ? AND unit = ? GROUP BY at, name ORDER BY at"
)


class Timeline(NamedTuple):
    """Verdicts or reasons over time.

    Attributes:
        svg: the picture; empty when everything happened at once.
        unit: what one bar stands for, in words.
        names: the verdicts or reasons, in the order of the picture, each with the class that gives it its colour.
        rows: per bar its beginning in milliseconds, and how many of each name.
    """

    svg: Markup
    unit: str
    names: Mapping[str, str]
    rows: list[tuple[int, Mapping[str, int]]]


def counted(look: Lookup, site: Row | None, what: Literal["verdict", "reason"]) -> Timeline:
    """Verdicts or reasons over time, of a site or of all. Few are counted one by one, many are counted already."""
    where, key = ("site = ?", (site["id"],)) if site else ("verdict IS NOT NULL", ())
    attempts = site["attempts"] if site else look.size
    if attempts <= _COUNTED_HERE:
        rows = look.rows(_ONE_BY_ONE.format(what, where), *key)
        return timeline(rows, _unit_for(rows, (1, *UNITS)))
    key = key or (ALL_SITES,)
    rows = look.rows("SELECT at FROM tally WHERE site = ? AND unit = 86400 ORDER BY at", *key)
    unit = _unit_for(rows, SITE_UNITS if site else UNITS)
    return timeline(look.rows(_OVER_TIME.format(what), *key, unit), unit)


def _unit_for(rows: Sequence[Row], units: Sequence[int]) -> int:
    """The largest unit that gives the span of these rows, from first to last, bars enough to be a picture."""
    span = rows[-1]["at"] - rows[0]["at"] if rows else 0
    return next((unit for unit in reversed(units) if span / unit >= _FEWEST_BARS), units[0])


def timeline(rows: Sequence[Row], unit: int) -> Timeline:
    """Bars of `n` by `name` over `at`, seconds since 1970 in order, one a unit of time, or for several together."""
    found: dict[int, dict[str, int]] = {}
    if not rows:
        return Timeline(Markup(""), _NAMES[unit], {}, [])
    names = _classes(rows)
    first, last = (row["at"] // unit * unit for row in (rows[0], rows[-1]))
    together = -(-((last - first) // unit + 1) // _MOST_BARS)
    for row in rows:
        at = first + (row["at"] - first) // (unit * together) * unit * together
        bar = found.setdefault(at, {})
        name = row["name"] if row["name"] in names else _OTHERS
        bar[name] = bar.get(name, 0) + row["n"]
    told = _NAMES[unit] if together == 1 else f"{together} {_NAMES[unit]}s"
    bars = (last - first) // (unit * together) + 1
    svg = _stack(found, names, _Axis(first, unit * together, bars, _FORMS[unit])) if bars > 1 else Markup("")
    return Timeline(svg, told, names, [(at * 1000, found[at]) for at in sorted(found)])


def _classes(rows: Sequence[Row]) -> dict[str, str]:
    """Each name with its class: verdicts in their own order and colours; of reasons the most frequent ones."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["name"]] += row["n"]
    if set(counts) <= set(Verdict):
        return {verdict.value: f"v-{verdict}" for verdict in Verdict if verdict in counts}
    names = [name for name, _ in counts.most_common(_MOST_NAMES)]
    names += [_OTHERS] if len(counts) > _MOST_NAMES else []
    return {name: "v-kept" if name == _OPEN else f"n-{number}" for number, name in enumerate(names, 1)}


class _Axis(NamedTuple):
    """Time from left to right: where it begins, what a bar stands for in seconds, how many, how times are written."""

    first: int
    step: int
    bars: int
    form: str

    def label(self, at: int) -> str:
        return in_html(datetime.fromtimestamp(at, UTC).strftime(self.form))


def _stack(found: Mapping[int, Mapping[str, int]], names: Mapping[str, str], axis: _Axis) -> Markup:
    most = max(sum(bar.values()) for bar in found.values())
    width = (_WIDTH - _LEFT) / axis.bars
    drawn = max(width - min(2.0, width / 5), 0.5)
    parts = [*_grid(most)]
    for at, bar in sorted(found.items()):
        left, top = _LEFT + (at - axis.first) // axis.step * width, float(_HEIGHT)
        for name, colour in names.items():
            if count := bar.get(name, 0):
                height = count / most * (_HEIGHT - 10)
                top -= height
                parts.append(
                    f'<rect class="{colour}" x="{left:.1f}" y="{top:.1f}" width="{drawn:.1f}" '
                    f'height="{height:.1f}"><title>{axis.label(at)}: {count} {in_html(name)}</title></rect>'
                )
    for number in range(0, axis.bars, -(-axis.bars // _MOST_LABELS)):
        label = axis.label(axis.first + number * axis.step)
        parts.append(f'<text x="{_LEFT + number * width:.1f}" y="{_HEIGHT + 18}">{label}</text>')
    return _svg(_WIDTH + 60, _HEIGHT + _FOOT, parts, "chart-time")


def _grid(most: int) -> Iterable[str]:
    """Lines at nothing, half and all, with their figures."""
    for share in (0.0, 0.5, 1.0) if most > 1 else (0.0, 1.0):
        y = _HEIGHT - share * (_HEIGHT - 10)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        if share in {0.0, 1.0} or most % 2 == 0:
            figure = f"{int(most * share):,}"
            yield f'<text class="figure" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{figure}</text>'


def bars(counts: Sequence[tuple[str, int]]) -> Markup:
    """Horizontal bars, each with its name and figure."""
    if not counts:
        return Markup("")
    most = max(count for _, count in counts) or 1
    room = _WIDTH - _LABEL - 70
    parts = []
    for number, (name, count) in enumerate(counts):
        y = number * (_BAR + 6)
        length = max(1.0, count / most * room)
        text = name if len(name) <= 42 else f"{name[:40]}..."  # noqa: PLR2004 - what fits
        parts.append(f'<text x="{_LABEL - 10}" y="{y + 16}" text-anchor="end">{in_html(text)}</text>')
        parts.append(
            f'<rect class="bar" x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}">'
            f"<title>{in_html(f'{name}: {count}')}</title></rect>"
        )
        parts.append(f'<text class="figure" x="{_LABEL + length + 8:.1f}" y="{y + 16}">{count:,}</text>')
    return _svg(_WIDTH, len(counts) * (_BAR + 6), parts, "chart-bars")


def _svg(width: int, height: int, parts: Iterable[str], kind: str) -> Markup:
    """The picture is hidden from screen readers: the table beside it says the same."""
    start = f'<svg class="{kind}" viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">'
    return Markup(f"{start}{''.join(parts)}</svg>")  # noqa: S704 - every text in it went through in_html
