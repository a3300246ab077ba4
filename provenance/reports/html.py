"""A report as one HTML file that loads nothing, runs nothing, reads well in the dark, on paper and aloud."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from provenance.escaping import in_html
from provenance.reports.document import Cell, Column, Document, Made, Section, Table

SHOWN: Final = 200
"""Rows of a table that pages for people show; its CSV file has all."""

_BAR: Final = 60
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1d20; --soft: #5a5d66; --line: #d5d7dd; --paper: #fff; --mark: #2f6f8f;
  --warn-ink: #7a1f12; --warn: #fdf0ed; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7ea; --soft: #a4a8b3; --line: #3b3e46; --paper: #17181b;
  --mark: #6fb3d2; --warn-ink: #ffb4a6; --warn: #3a1f1a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h2 .code { color: var(--soft); font-weight: 400; margin-right: .6rem; }
p { margin: .4rem 0; max-width: 46rem; }
.about, .note, caption { color: var(--soft); }
.warnings { background: var(--warn); color: var(--warn-ink); border-left: .3rem solid var(--warn-ink);
  padding: .6rem 1rem; margin: 1rem 0; }
.blank { border: 1px dashed var(--soft); padding: .4rem .8rem; color: var(--soft); }
.wide { overflow-x: auto; margin: .8rem 0; }
.wide:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .88rem; min-width: 24rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .28rem .8rem .28rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; max-width: 24rem; }
thead th { vertical-align: bottom; border-bottom-color: var(--soft); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th[scope=row] { font-weight: 400; }
svg { display: inline-block; vertical-align: middle; margin-left: .5rem; }
rect { fill: var(--mark); }
code { font-size: .85rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } .warnings { border: 1pt solid; } }
"""


def as_html(document: Document) -> str:
    """The file's text."""
    return "\n".join(_page(document)) + "\n"


def _page(document: Document) -> Iterator[str]:
    style = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style}'\">"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{in_html(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{in_html(document.title)}</h1>"
    if document.warnings:
        yield '<div class="warnings" role="note" aria-label="Warnings">'
        yield from (f"<p>{in_html(one)}</p>" for one in document.warnings)
        yield "</div>"
    yield from (f'<p class="about">{in_html(one)}</p>' for one in document.about)
    yield from _made(document.made_from)
    for section in document.sections:
        yield from _section(section, document.name)
    yield "</main>\n</body>\n</html>"


def _made(logs: tuple[Made, ...]) -> Iterator[str]:
    yield "<section>\n<h2>Made from</h2>"
    for log in logs:
        seal = f"sealed ({log.end})" if log.end else "not sealed"
        size = f"{log.size:,} signed entries up to {in_html(log.time)}"
        yield f"<p>Log <code>{in_html(log.origin)}</code>: {size}, {seal}.<br>"
        yield f"Root <code>{log.root or 'none'}</code><br>Key <code>{in_html(log.key)}</code>"
        yield f"{'' if log.key_given else ' as the folder says; compare it with another source'}</p>"
    yield "</section>"


def _section(section: Section, name: str) -> Iterator[str]:
    code = f'<span class="code">{in_html(section.code)}</span> ' if section.code[0].isdigit() else ""
    yield f"<section>\n<h2>{code}{in_html(section.title)}</h2>"
    yield from (f"<p>{in_html(one)}</p>" for one in section.told)
    if section.by == "provider":
        yield '<p class="blank">For the provider to answer.</p>'
    for table in section.tables:
        yield from _table(table, name)
    yield "</section>"


def _table(table: Table, name: str) -> Iterator[str]:
    if not table.rows:
        yield f'<p class="note">{in_html(table.title)}: none.</p>'
        return
    title = in_html(table.title)
    yield f'<div class="wide" role="region" aria-label="{title}" tabindex="0">\n<table>\n<caption>{title}</caption>'
    heads = (f'<th scope="col"{_class(one)}>{in_html(one.title)}</th>' for one in table.columns)
    yield f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>"
    shown = table.rows[:SHOWN]
    most = [_most(shown, at) if one.kind == "bar" else 0 for at, one in enumerate(table.columns)]
    for row in shown:
        yield "<tr>" + "".join(map(_cell, row, table.columns, most, range(len(row)))) + "</tr>"
    yield "</tbody>\n</table>\n</div>"
    if len(table.rows) > SHOWN:
        where = f"; all of them are in {name}-{table.name}.csv" if table.file else ""
        yield f'<p class="note">The first {SHOWN} of {len(table.rows):,} rows{in_html(where)}.</p>'


def _most(rows: tuple[tuple[Cell, ...], ...], at: int) -> int:
    return max((cell for row in rows if isinstance(cell := row[at], int)), default=0)


def _cell(cell: Cell, column: Column, most: int, at: int) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else in_html(cell)
    if at == 0:
        return f'<th scope="row"{_class(column)}>{text}</th>'
    if most and isinstance(cell, int):
        width = -(-cell * _BAR // most)
        text += f'<svg width="{_BAR}" height="10" aria-hidden="true"><rect width="{width}" height="10"/></svg>'
    return f"<td{_class(column)}>{text}</td>"


def _class(column: Column) -> str:
    return "" if column.kind == "words" else ' class="n"'
