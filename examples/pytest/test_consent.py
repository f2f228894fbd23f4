"""What must be held back from whom, asked of consentry dev."""

import json
import os
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest

SITE = os.environ.get("SITE", "http://localhost:8080")


def visit(state, page):
    """Goes to a page as a visitor in that state, and says what was decided there."""
    cookies = urllib.request.HTTPCookieProcessor(CookieJar())
    browser = urllib.request.build_opener(cookies)
    browser.addheaders = [("Accept", "text/html")]
    with browser.open(f"{SITE}{page}?__consent={state}", timeout=30) as answer:
        exchange = answer.headers["X-Consentry-Exchange"]
        answer.read()
    return decided(exchange=exchange)


def decided(**which):
    """What was decided, by vendor."""
    query = urllib.parse.urlencode(which)
    with urllib.request.urlopen(f"{SITE}/.consentry/decisions?{query}", timeout=30) as answer:
        found = json.load(answer)
    assert found["complete"]
    return {one["vendor"]: one["verdict"] for one in found["decisions"] if one["vendor"]}


@pytest.mark.parametrize("state", ["undecided", "refuse", "gpc"])
def test_nobody_is_told_of_a_visitor_who_did_not_agree(state):
    home = visit(state, "/")
    assert home["hotjar"] == "block"
    assert visit(state, "/thanks.html")["meta-pixel"] == "block"
    if state != "gpc":
        assert home["google-analytics"] == "block"


def test_agreeing_to_analytics_is_no_yes_to_marketing():
    assert visit("analytics", "/")["google-analytics"] == "allow"
    assert visit("analytics", "/thanks.html")["meta-pixel"] == "block"


def test_everything_is_there_for_who_agreed():
    assert set(visit("all", "/").values()) == {"allow"}
