"""Reports for a browser: whole, harmless whatever memories say, and complete without scripts or network."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.conftest import record
from vexrepo.cli.html import cards, difference, history
from vexrepo.cli.html.escape import marked, visible
from vexrepo.cli.html.page import POLICY
from vexrepo.cli.text import plain

VOID = {"meta", "link", "input", "wbr", "br", "hr", "img"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "</title><img src=x onerror=alert(3)>",
    "javascript:alert(4)",
    '" onmouseover="alert(5)" x="',
    "' autofocus onfocus=alert(6) x='",
    "<!-- --> <![CDATA[ ]]>",
    "&lt;b&gt; &#60; &amp",
    "</svg></article></main></body></html>",
    "<svg onload=alert(7)><style>*{background:url(https://evil.example)}",
    "`${alert(8)}` {{7*7}} %s {0}",
    "https://evil.example/?q=1",
    "right\u202eto left\u2066 \u200bzero\u200d\ufeff width \U000e0041\U000e0042 tags \U000e0100",
    "\x00\x1b[31m\x9b31m\x07\u2028\u2029",
    "line\nbreak\ttab\r\n",
]


class Page(HTMLParser):
    """Checks the nesting of elements while it collects what there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} comes twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.inside.setdefault(tag, []).append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def text(self, tag: str = "main") -> str:
        return "".join(self.inside.get(tag, []))

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        return [each for name, each in self.elements if name == tag and kind in ["", *each.get("class", "").split()]]


def read(path: str | Path) -> Page:
    """Return a page, checked for everything that must hold of any."""
    text = Path(path).read_text("utf-8")
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert [each["content"] for each in page.all("meta") if "http-equiv" in each] == [POLICY]
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert page.all("script") == page.all("style") == [{}]
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert tag not in ("img", "iframe", "object", "embed", "base", "audio", "video", "image", "use")
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("src", "srcset", "action", "formaction", "xlink:href")
            if name == "href":
                assert value == "data:," or re.fullmatch(r"#[0-9a-z-]+", value)
                assert value == "data:," or value[1:] in ids
            if name == "style":
                assert re.fullmatch(r"(width|left):[0-9.]+(%|px)", value)
            if name == "marker-end":
                assert value == "url(#head)"
    for forbidden in ("url(", "@import", "http:", "https:", "//"):
        assert forbidden not in page.text("style")
        assert forbidden not in page.text("script")
    # Nothing that hides or turns text is left, in texts or attributes.
    for mark in set(text):
        assert plain(mark) == mark or mark in "\n\t", hex(ord(mark))
    return page


@pytest.fixture
def hostile(vex, repo):
    """A repository in which ids, namespaces, texts, metadata, models and messages are hostile, before and after."""
    for number, text in enumerate(HOSTILE):
        repo.records[text] = record(text, text, text, **{text: text})
        repo.records[f"h{number}"] = record(f"h{number}", f"{text} was", "prefs", **{text: text})
        repo.records[text]["model"] = text
    repo.write()
    assert vex("commit", "-m", HOSTILE[0] + "\n" + "\n".join(HOSTILE), env={"LOGNAME": HOSTILE[2]}).code == 0
    for number, text in enumerate(HOSTILE):
        repo.records[f"h{number}"] = record(f"h{number}", f"{text} is", "prefs", **{text: text + "!"})
        if number % 2:
            del repo.records[text]
    repo.write()
    assert vex("commit", "-m", HOSTILE[1]).code == 0
    assert vex("tag", "a<b").code == 0
    return repo


def test_a_difference_shows_texts_metadata_and_distances(vex, two):
    ran = vex("diff", "HEAD~1", "HEAD", "--html", "report.html")
    assert ran.code == 0 and ran.out.startswith("report.html: 1 learned, 1 changed, 1 forgotten · ")
    page = read("report.html")
    assert "HEAD~1" in page.text("h1") and "HEAD" in page.text("h1")
    assert {each["data-k"] for each in page.all("article")} == {"learned", "changed", "forgotten"}
    assert "short calls before noon" in page.text("ins") and "async communication" in page.text("del")
    assert "importance" in page.text("dt") and "moved 1.63" in page.text("header")
    assert "The market opens at nine" in page.text("article") and "Pepe trending" in page.text("article")
    assert len(page.all("line")) == 2, "an arrow, and one in the legend"
    assert page.all("form", "filter")[0].keys() >= {"hidden"}, "without scripts there is no filter to see"
    assert [each["value"] for each in page.all("input") if each.get("name") == "k"] == [
        "changed",
        "learned",
        "forgotten",
    ]


def test_every_changed_memory_with_a_vector_is_in_the_picture_with_its_text(vex, two):
    assert vex("diff", "HEAD~1", "HEAD", "--html", "report.html").code == 0
    page = read("report.html")
    drawn = {each["href"] for each in page.all("a") if each.get("class") in ("learned", "changed", "forgotten")}
    assert drawn == {f"#{each['id']}" for each in page.all("article")}
    assert len(page.all("circle", "same")) == 2, "the two memories that are as before"
    assert "The invoice of March" in page.text("title")


@pytest.mark.parametrize("sides", [(), ("HEAD",), ("agent.vmig.jsonl", "HEAD"), ("agent.vmig.jsonl", "old.vmig.jsonl")])
def test_stores_are_compared_as_well_as_commits(vex, repo, sides):
    Path("old.vmig.jsonl").write_bytes(repo.path.read_bytes())
    repo.learn("m9", "Newly learned")
    assert vex("diff", *sides, "--html", "report.html").code == 0
    assert "Newly learned" in read("report.html").text("article")


def test_no_difference_makes_a_page_that_says_so(vex, repo):
    assert vex("diff", "--html", "report.html").code == 0
    assert "No memory differs" in read("report.html").text()
    assert vex("diff", "--html", "report.html", "--exit-code").code == 0


def test_a_difference_with_html_still_tells_by_its_exit_code(vex, two):
    assert vex("diff", "HEAD~1", "HEAD", "--html", "report.html", "--exit-code").code == 1


def test_hostile_memories_are_shown_and_do_nothing(vex, hostile):
    assert vex("diff", "HEAD~2", "HEAD", "--html", "a.html").code == 0
    assert vex("diff", "HEAD~1", "HEAD", "--html", "b.html").code == 0
    assert vex("log", "--html", "c.html").code == 0
    pages = [read(name) for name in ("a.html", "b.html", "c.html")]
    for page in (pages[0], pages[2]):
        shown = page.text()
        for text in HOSTILE:
            words = "".join(plain(mark) if mark not in "\n\t" else mark for mark in text)
            words = words.replace("\u200d", "\\u200d").replace("\U000e0100", "\\U000e0100")
            assert words in shown, text
    for page in pages:
        assert page.text("script").strip() == Path(difference.__file__).with_name("page.js").read_text("utf-8").strip()


def test_hidden_characters_are_visible_and_those_of_scripts_and_emoji_stay():
    for text in ("naïve Überraschung", "日本語", "👨‍👩‍👧", "می‌خواهم", "שלום", "❤️"):
        assert visible(text) == marked(text) == text
    assert visible("a\u200db \u202ex\u200b") == "a\\u200db \\u202ex\\u200b"
    assert visible("a\nb\tc") == "a\\nb\\tc" and visible("a\nb\tc", lines=True) == "a\nb\tc"
    assert marked("\u2066") == '<span class="esc">\\u2066</span>'
    assert visible("\ud800\uffff") == "\\ud800\\uffff"
    for point in range(0x110000):
        mark = chr(point)
        if plain(mark) != mark:
            assert visible(mark) != mark, hex(point)


def test_what_is_too_much_is_left_out_and_the_page_says_so(vex, repo, monkeypatch):
    monkeypatch.setitem(difference.SHOWN, "learned", 3)
    for number in range(10):
        repo.records[f"n{number}"] = record(f"n{number}", "word " * 2000)
    repo.write()
    assert vex("diff", "--html", "report.html").code == 0
    page = read("report.html")
    assert len(page.all("article")) == 3
    assert "7 memories more were learned and are left out" in page.text()
    assert "6,000 more characters" in page.text("article")
    assert vex("diff", "--html", "report.html", "--limit", "1").code == 0
    assert len(read("report.html").all("article")) == 1
    monkeypatch.setattr(difference, "PAGE_CHARACTERS", 1)
    assert vex("diff", "--html", "report.html").code == 0
    assert len(read("report.html").all("article")) == 1


def test_long_texts_that_differ_far_from_the_start_show_the_difference(vex, repo):
    words = [f"word{number}" for number in range(5000)]
    repo.records["m4"] = record("m4", " ".join(words))
    repo.write()
    assert vex("commit", "-m", "long").code == 0
    words[4000] = "DIFFERENT"
    repo.records["m4"]["text"] = " ".join(words)
    repo.write()
    assert vex("diff", "--html", "report.html").code == 0
    page = read("report.html")
    assert page.text("ins") == "DIFFERENT" and page.text("del") == "word4000"
    assert len(page.text("article")) < 1000


def test_texts_that_are_too_much_work_to_compare_by_word_are_shown_whole(vex, two, monkeypatch):
    monkeypatch.setattr(cards.Effort.__init__, "__defaults__", (0,))
    assert vex("diff", "HEAD~1", "HEAD", "--html", "report.html").code == 0
    page = read("report.html")
    assert "async communication" in page.text("del") and "short calls before noon" in page.text("ins")


def test_memories_without_vectors_make_a_page_without_a_picture(vex, repo):
    repo.records = {"a": {"id": "a", "text": "plain"}, "b": {"id": "b", "text": None}}
    repo.write()
    assert vex("commit", "-m", "no vectors").code == 0
    repo.records["a"]["text"] = "plainer"
    repo.write()
    assert vex("diff", "--html", "report.html").code == 0
    page = read("report.html")
    assert not page.all("figure") and "nothing to draw" in page.text()


def test_vectors_of_another_model_are_not_drawn_in_one_picture(vex, repo):
    repo.records["m1"] |= {"vector": [1.0, 2.0], "dims": 2, "model": "other"}
    repo.records["x"] = {"id": "x", "text": "x", "vector": [3.0, 4.0], "dims": 2, "model": "other"}
    repo.write()
    assert vex("diff", "--html", "report.html").code == 0
    page = read("report.html")
    assert "1 without such a vector is not drawn" in page.text()


def test_a_history_shows_each_commit_with_its_changes(vex, two):
    ran = vex("log", "--html", "log.html")
    assert ran.code == 0 and ran.out.startswith("log.html: 2 commits · ")
    page = read("log.html")
    assert len(page.all("details", "commit")) == 2
    kinds = [each["data-k"] for each in page.all("article")]
    assert sorted(kinds[:3]) == ["changed", "forgotten", "learned"] and kinds[3:] == ["learned"] * 4
    assert "signed by" in page.text("summary") and "alice" in page.text("summary")
    assert "+1 ~1 −1" in page.text("summary") and "HEAD → main" in page.text("summary")
    assert "No memory changed" not in page.text()
    assert vex("log", "-1", "--html", "log.html").code == 0
    page = read("log.html")
    assert len(page.all("details", "commit")) == 1 and "1 older commit is left out" in page.text()


def test_a_history_draws_branches_and_merges(vex, two):
    vex("switch", "-c", "side")
    two.learn("s", "A side note")
    vex("commit", "-m", "side")
    vex("switch", "main")
    del two.records["s"]
    two.learn("n", "The main thing")
    vex("commit", "-m", "main")
    assert vex("merge", "side", "-m", "merged").code == 0
    assert vex("log", "--html", "log.html").code == 0
    page = read("log.html")
    assert len(page.all("span", "lanes")) == 5
    curves = [each["d"] for each in page.all("path") if "C" in each["d"]]
    assert len(curves) == 2, "one to the branch, one back"
    assert "merge of" in page.text("dt") and "against the first of them" in page.text("dd")


def test_a_history_of_one_memory_shows_what_was_done_to_it(vex, two):
    assert vex("log", "--html", "log.html", "--", "m2").code == 0
    page = read("log.html")
    assert [each["data-k"] for each in page.all("article")] == ["forgotten", "learned"]
    assert "m2" in page.text("h1")


def test_a_commit_of_many_changes_shows_the_first_and_counts_all(vex, repo, monkeypatch):
    for number in range(12):
        repo.records[f"n{number}"] = record(f"n{number}", f"text {number}")
    repo.write()
    assert vex("commit", "-m", "many").code == 0
    monkeypatch.setattr(history, "CHANGES", 5)
    assert vex("log", "--html", "log.html").code == 0
    page = read("log.html")
    assert len(page.all("article")) == 5 + 4
    assert "7 memories more" in page.text() and "+12" in page.text("summary")
    monkeypatch.setattr(history, "PAGE_CARDS", 5)
    assert vex("log", "--html", "log.html").code == 0
    page = read("log.html")
    assert len(page.all("article")) == 5 and "The page is full" in page.text()
    assert "+4" in page.text("summary"), "counted as the commit says itself"


def test_an_older_page_is_replaced_whole_and_keeps_its_mode(vex, two):
    assert vex("log", "--html", "page.html").code == 0
    os.chmod("page.html", 0o600)
    os.symlink("page.html", "link.html")
    assert vex("diff", "HEAD~1", "HEAD", "--html", "link.html").code == 0
    assert os.path.islink("link.html") and Path("page.html").stat().st_mode & 0o777 == 0o600
    assert "vex diff" in read("page.html").text("body")
    assert not [name for name in os.listdir() if name.endswith(".tmp")]


@pytest.mark.parametrize("command", [("diff",), ("log",)])
def test_what_is_not_a_page_is_never_overwritten(vex, two, command):
    before = two.path.read_bytes()
    ran = vex(*command, "--html", "agent.vmig.jsonl")
    assert ran.code == 2 and "is not a page of HTML" in ran.err
    assert two.path.read_bytes() == before
    os.mkdir("folder")
    assert "is a directory" in vex(*command, "--html", "folder").err
    assert vex(*command, "--html", "/dev/null").code == 2
    ran = vex(*command, "--html", "missing/page.html")
    assert ran.code == 1 and "disk-error" in ran.err and "missing" in ran.err


@pytest.mark.parametrize("command", [("diff", "--json"), ("diff", "--stat"), ("log", "--json")])
def test_a_page_does_not_go_with_another_form(vex, two, command):
    ran = vex(*command, "--html", "page.html")
    assert ran.code == 2 and "--html" in ran.err + json.dumps(ran.out)
    assert not os.path.exists("page.html")
