"""What a page carries inside it: its data, and plotly.js."""

import base64
import gzip
import json
from functools import cache
from typing import Any

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
