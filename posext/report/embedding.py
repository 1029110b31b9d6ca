"""What a page is made of: its template, its data, and plotly.js."""

import base64
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup


def embedded_json(value: Any) -> Markup:
    """JSON that is safe inside a script element.

    Raises ValueError for nan, which JSON does not have.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def compressed_plotly() -> str:
    """plotly.js in base64, compressed from 4.8 MB to 2.0 MB; the browser unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def template(file: Path) -> Template:
    """Open a template of HTML, in which what is not there is an error and all texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader(file.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(file.name)
