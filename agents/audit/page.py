"""The report as one HTML file: no script, nothing from elsewhere, everything others wrote escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from defedbio.audit.document import Document


def html(document: Document) -> bytes:
    """UTF-8 bytes; the same for the same document."""
    style = files("defedbio.audit").joinpath("templates", "report.css").read_text("utf-8").rstrip("\n")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("defedbio.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("report.html")
    # our own style sheet, which is data of this package
    text = template.render(document=document, style=Markup(style), style_hash=f"sha256-{digest}", kind=lambda block: type(block).__name__)
    return text.encode()
