"""The page's files and the headers they are served with."""

from __future__ import annotations

import re

import pytest

from greenroom import web


@pytest.mark.parametrize("name", sorted(web.CONTENT_TYPES))
def test_each_file_is_there_with_its_type(name: str) -> None:
    found = web.asset(name)
    assert found is not None
    assert found.content_type == web.CONTENT_TYPES[name]
    assert found.body


@pytest.mark.parametrize("name", ["", "../__init__.py", "static/app.js", "app.css", "/etc/passwd"])
def test_nothing_else_is(name: str) -> None:
    assert web.asset(name) is None


def test_the_first_view_is_small() -> None:
    assert sum(len(found.body) for name in web.CONTENT_TYPES if (found := web.asset(name))) < 150_000


def test_the_policy_allows_no_inline_script_and_no_other_place() -> None:
    policy = web.headers("eu-central-1")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "https://*.s3.eu-central-1.amazonaws.com" in policy


def test_the_page_has_nothing_inline_and_writes_no_markup() -> None:
    html, script = web.asset("index.html"), web.asset("app.js")
    assert html is not None and script is not None
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html.body)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.body)
