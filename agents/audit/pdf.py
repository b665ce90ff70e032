"""The report as PDF, from the same document as the HTML. The standard fonts know Western European letters; others are written as U+…."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from defedbio.audit.document import Block, Document, Properties, Table, Text

MARGIN = 14 * mm
_PADDING = 12  # of a table's cell, left and right together
_WIDE_LETTER = 0.6  # em; a hexadecimal digit has 0.556
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=8.5, leading=11.5, spaceAfter=4)
_CELL = ParagraphStyle("cell", parent=_BODY, fontSize=6.5, leading=8, spaceAfter=0, splitLongWords=1)
_HEAD = ParagraphStyle("head", parent=_CELL, fontName="Helvetica-Bold")
_CAPTION = ParagraphStyle("caption", parent=_BODY, fontName="Helvetica-Bold", spaceBefore=4)
_TITLE = ParagraphStyle("title", parent=_BODY, fontName="Helvetica-Bold", fontSize=15, leading=19)
_SECTION = ParagraphStyle("section", parent=_BODY, fontName="Helvetica-Bold", fontSize=11.5, leading=15, spaceBefore=10, keepWithNext=1)
_GRID = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.25, colors.HexColor("#b3bac2")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eef1f4")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)
_PLAIN = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP")])


def pdf(document: Document) -> bytes:
    """The same bytes for the same document: no time of making, no compression whose version could differ."""
    sink = BytesIO()
    made = SimpleDocTemplate(
        sink,
        pagesize=landscape(A4),
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=encodable(document.title),
        author="DeFed-Bio",
        subject=encodable(document.subtitle),
        lang="en",
        invariant=1,
        pageCompression=0,
    )
    story: list[Any] = [_paragraph(document.title, _TITLE), _paragraph(document.subtitle, _BODY)]
    for section in document.sections:
        story.append(_paragraph(section.title, _SECTION))
        for block in section.blocks:
            story += _flowables(block, made.width)
    made.build(story, onFirstPage=_footer, onLaterPages=_footer)
    return sink.getvalue()


def encodable(text: str) -> str:
    """Text that the standard fonts can show; a character that they lack as its code point."""
    return "".join(c if _has_glyph(c) else f"[U+{ord(c):04X}]" for c in text)


def _flowables(block: Block, width: float) -> list[Any]:
    match block:
        case Text():
            return [_paragraph(block.text, _BODY)]
        case Properties():
            columns = [width * 0.2, width * 0.8]
            rows = [_cells(row, columns, _CELL) for row in block.rows]
            return [LongTable(rows, colWidths=columns, style=_PLAIN, splitInRow=1), Spacer(1, 2 * mm)]
        case Table():
            total = sum(block.widths)
            columns = [width * part / total for part in block.widths]
            rows = [_cells(block.head, columns, _HEAD), *(_cells(row, columns, _CELL) for row in block.rows)]
            return [
                _paragraph(block.caption, _CAPTION),
                LongTable(rows, colWidths=columns, style=_GRID, repeatRows=1, splitInRow=1),
                Spacer(1, 2 * mm),
            ]


def _cells(row: Sequence[str], columns: Sequence[float], style: ParagraphStyle) -> list[Paragraph]:
    return [_paragraph(broken(cell, width - _PADDING, style.fontSize), style) for cell, width in zip(row, columns, strict=True)]


def broken(text: str, width: float, size: float) -> str:
    """Hashes and other long words cut to what fits a line of `width` points; Paragraph would measure them letter by letter."""
    most = max(1, int(width / (_WIDE_LETTER * size)))
    return re.sub(rf"\S{{{most + 1},}}", lambda word: "\n".join(word[0][i : i + most] for i in range(0, len(word[0]), most)), text)


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(encodable(text)).replace("\n", "<br/>"), style)


def _footer(canvas: Any, made: Any) -> None:
    canvas.setFont("Helvetica", 6.5)
    canvas.drawRightString(made.pagesize[0] - MARGIN, MARGIN / 2, f"page {canvas.getPageNumber()}")


def _has_glyph(character: str) -> bool:
    try:
        character.encode("cp1252")
    except UnicodeEncodeError:
        return character == "\n"
    return True
