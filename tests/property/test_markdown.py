"""Markdown of a model as HTML: whatever it contains, only harmless elements come out, and in bounded time."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runware_nb.present.markdown import render_markdown

HARMLESS = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "del", "code", "pre", "a", "ul", "ol", "li",
    "blockquote", "table", "thead", "tbody", "tr", "th", "td", "span",
}  # fmt: skip
ATTRIBUTES = {"style", "class", "href", "target", "rel", "start"}
VOID = {"br", "hr"}
PARTS = st.sampled_from(
    ["*", "**", "_", "__", "`", "``", "```\n", "~~", "[", "](", ")", "![", "<", ">", "<script>", "javascript:", "https://", "data:",
     "&", "&#106;", '"', "'", "\\", "$", "$$", "\\(", "\\)", "| ", "|-|\n", "\n", "\n\n", "# ", "> ", "- ", "1. ", "    ", "a", " ",
     "onerror=", "\u202e", "\x00", "é", "[x] ", "---\n", "mailto:"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(PARTS, max_size=40).map("".join))


class Checker(HTMLParser):
    """Reads HTML as a browser does, and notes what it must not contain."""

    def __init__(self):
        super().__init__()
        self.open, self.said, self.problems = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in HARMLESS or not {name for name, _ in attrs} <= ATTRIBUTES:
            self.problems.append((tag, attrs))
        for name, value in attrs:
            if name == "href" and not value.lower().startswith(("http://", "https://", "mailto:")):
                self.problems.append((tag, value))
            if name == "style" and ("url(" in value or "expression" in value):
                self.problems.append((tag, value))
        if tag == "a" and "a" in self.open:
            self.problems.append("a link in a link")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")

    def handle_data(self, data):
        self.said.append(data)


def checked(source):
    checker = Checker()
    html = render_markdown(source)
    checker.feed(html)
    checker.close()
    assert not checker.problems, (source, html)
    assert not checker.open, (source, html)
    return html, "".join(checker.said)


@given(TEXTS)
@example("[a](java\nscript:x)")
@example("[[a](https://x.example)](https://y.example)")
@example('<https://x.example/"onmouseover=alert(1)>')
@example("**[a**](https://x.example)")
@example("***a***b**")
@example("- **a\n- b**")
def test_only_harmless_elements_come_out(source):
    checked(source)


@given(st.text(alphabet="abc XYZ.,;!?\n", max_size=100))
def test_plain_text_stays_as_it_is(source):
    _, said = checked(source)
    assert "".join(said.split()) == "".join(source.split())


@pytest.mark.parametrize(
    ("source", "html"),
    [
        (
            "a *b* **c** ***d*** _e_ snake_case_name",
            "<p>a <em>b</em> <strong>c</strong> <strong><em>d</em></strong> <em>e</em> snake_case_name</p>",
        ),
        ("2 * 3 * 4 and a*", "<p>2 * 3 * 4 and a*</p>"),
        ("## T ##\ntext", "<h2>T</h2><p>text</p>"),
        ("- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("In\n1984. it", "<p>In\n1984. it</p>"),
        ("a\\\nb \\* \\<", "<p>a<br>b * &lt;</p>"),
        ("<b>x</b> &lt;", "<p>&lt;b&gt;x&lt;/b&gt; &amp;lt;</p>"),
        ("[a](javascript:b)", "<p>a (javascript:b)</p>"),
        ("[a](JAVASCRIPT:b)", "<p>a (JAVASCRIPT:b)</p>"),
        ("[a](data:text/html,x)", "<p>a (data:text/html,x)</p>"),
        ("[a](//x.example)", "<p>a (//x.example)</p>"),
        ("$x_1$ costs $5", '<p>$x_1$ costs <span class="mathjax_ignore">$</span>5</p>'),
        ("---", "<hr>"),
        ("", ""),
    ],
)
def test_what_is_rendered(source, html):
    assert render_markdown(source) == html


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("[a](https://x.example/b_(c)_d 'title')", ['href="https://x.example/b_(c)_d"', ">a</a>"]),
        ("see https://x.example/a?b=c&d.", ['href="https://x.example/a?b=c&amp;d"', "</a>."]),
        ("![alt](https://x.example/a.png)", ['href="https://x.example/a.png"', "image: alt"]),
        ("```python\nx = '<b>'\n*y*", ["<pre", "x = &#x27;&lt;b&gt;&#x27;\n*y*</code></pre>"]),
        ("| a | b |\n|---|--:|\n| `x|y` | 1 | 2 |\n", ["<th", ">b</th>", "</tbody></table>"]),
        ("> a\n> - b", ["<blockquote", "<p>a</p><ul><li>b</li></ul></blockquote>"]),
        ("- [x] done\n- [ ] open", ["<li>☑ done</li>", "<li>☐ open</li>"]),
    ],
)
def test_what_is_rendered_with_attributes(source, parts):
    html, _ = checked(source)
    for part in parts:
        assert part in html


@pytest.mark.parametrize(
    "part",
    ["[", "[a](", "![", "`", "`a", "*a", "**a ", "_a ", "> ", "- ", "1. ", "$a", "$$", "\\(", "<", "|a", "#", "a`b``c", "https://",
     "[a](b", "~~a", "- a\n  ", "```\n"],
)  # fmt: skip
def test_long_texts_take_bounded_time(part):
    """A text of 100,000 characters, which is all that a cell shows, however it is built."""
    started = time.process_time()
    checked((part * 100_000)[:100_000])
    assert time.process_time() - started < 15
