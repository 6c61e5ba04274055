"""The page's files and the headers they are served with."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from greenroom import web
from greenroom.package.archive import MAX_ZIP_BYTES

SCRIPTS = [name for name in web.FILES if name.endswith(".js")]


def body(name: str) -> str:
    found = web.asset(name)
    assert found is not None
    return found.body


@pytest.mark.parametrize("name", web.FILES)
def test_each_file_is_there_with_its_type(name: str) -> None:
    found = web.asset(name)
    assert found is not None
    assert name.split(".")[-1].replace("js", "javascript") in found.content_type
    assert found.body


def test_no_file_is_there_that_is_not_served() -> None:
    assert {each.name for each in resources.files("greenroom.web").joinpath("static").iterdir()} == set(web.FILES)


@pytest.mark.parametrize("name", ["", "../__init__.py", "static/app.js", "app.css", "/etc/passwd"])
def test_nothing_else_is(name: str) -> None:
    assert web.asset(name) is None


def test_the_first_view_is_small() -> None:
    assert sum(len(body(name).encode()) for name in web.FIRST_VIEW) < 150_000


def test_the_first_view_is_all_that_it_imports() -> None:
    needed = {"index.html", "style.css", "app.js"}
    looked_at: set[str] = set()
    while scripts := {name for name in needed if name.endswith(".js")} - looked_at:
        for name in scripts:
            needed |= set(re.findall(r'^import .* from "\./([\w.]+)";', body(name), re.MULTILINE))
        looked_at |= scripts
    assert needed == set(web.FIRST_VIEW)


def test_the_policy_allows_no_inline_script_and_no_other_place() -> None:
    policy = web.headers("eu-central-1")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "https://*.s3.eu-central-1.amazonaws.com " in policy
    assert "https://*.s3.cn-north-1.amazonaws.com.cn " in web.headers("cn-north-1")["Content-Security-Policy"]


def test_the_page_has_nothing_inline() -> None:
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", body("index.html"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_writes_markup_or_styles_or_code(name: str) -> None:
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|style:|\.style\b|srcdoc|javascript:"
    )
    assert not re.search(banned, body(name))


def test_the_page_knows_the_platform_s_limit_of_a_zip() -> None:
    assert f"MAX_ZIP_BYTES = {MAX_ZIP_BYTES};" in body("zip.js")
