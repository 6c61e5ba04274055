"""The page: static files without a build step, and the headers they are served with. No data is in them, so they are
served without a token; the page asks for one and talks to the same HTTP API as the command line.

Pure: which bytes belong to a path. `platform/handlers/api/platform.py` serves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}

FIRST_VIEW = ("index.html", "style.css", "app.js", "core.js", "algorithms.js", "plot.js")
"""What is loaded before anything is shown."""

FILES = (*FIRST_VIEW, "algorithm.js", "release.js", "upload.js", "zip.js", "send.js", "failures.js")
"""All of the page; the views beyond the first are loaded when they are asked for."""


@dataclass(frozen=True)
class Asset:
    """One file of the page."""

    content_type: str
    body: str


@cache
def asset(name: str) -> Asset | None:
    """Return the file `name` of the page, or None if it has none."""
    if name not in FILES:
        return None
    return Asset(
        CONTENT_TYPES[name[name.rindex(".") :]], resources.files("greenroom.web").joinpath("static", name).read_text()
    )


def headers(region: str) -> dict[str, str]:
    """Return the headers that the page's files are served with.

    Scripts and styles come from the page's own place only; it talks to its own API and, for uploads, to S3 of `region`.
    """
    # https://docs.aws.amazon.com/general/latest/gr/s3.html
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self' https://*.s3.{region}.{suffix} https://*.s3.{suffix}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
