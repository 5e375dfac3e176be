"""Markdown that a model wrote, as HTML that cannot do anything.

The text is untrusted: a model repeats what is on pages that it has read. The HTML is written here, from escaped text
and a fixed list of elements without scripts, styles or events of the author's. Raw HTML in the Markdown stays visible
as text. So it is safe in a trusted notebook, where `text/markdown` would run it. Images are links, because a picture
that loads by itself tells its server who reads the text.

It covers what models write: headings, paragraphs, lists, tables, code, quotations, emphasis, links and formulas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from .html import element, text

__all__ = ["render_markdown"]

_DEEPEST = 8
"""Levels of lists and quotations. What is deeper is shown as text."""
_LONGEST_LINK = 2000
_LONGEST_LABEL = 300
_SCHEMES = frozenset({"http", "https", "mailto"})

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"( {0,3})([-*+]|(\d{1,9})[.)])([ \t]+|$)")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_TASK = re.compile(r"\[([ xX])\][ \t]+")
_SPECIAL = re.compile(r"[\\`*_~\[!<$\n]|https?://")
_URL = re.compile(r"https?://[^\s<>\"'`]{1,2000}")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000})>")
_TICKS = re.compile("`+")
_PUNCTUATION = frozenset("!\"#$%&'*+,-./:;<=>?@^_`{|}~[]()\\")

_CODE = "background:var(--jp-layout-color2,#eeeeee);border-radius:2px"
_PRE = f"{_CODE};margin:0.5em 0;padding:0.5em;overflow:auto;white-space:pre"
_CELL = "border:1px solid var(--jp-border-color2,#bdbdbd);padding:2px 8px;text-align:left;vertical-align:top"
_BAR = "margin:0.5em 0;padding-left:1em;border-left:3px solid var(--jp-border-color2,#bdbdbd)"


def render_markdown(source: str) -> str:
    """Return Markdown as safe HTML. Any text has a form, and the time is proportional to its length."""
    return _blocks(source.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n"), 0)


# --- blocks ----------------------------------------------------------------------------------------------


def _blocks(lines: Sequence[str], depth: int) -> str:
    """Render lines as blocks, one after the other."""
    if depth > _DEEPEST:
        return element("p", text("\n".join(lines)), style="white-space:pre-wrap")
    parts: list[str] = []
    paragraph: list[str] = []
    at = 0

    def end_paragraph() -> None:
        if paragraph:
            parts.append(element("p", _inline("\n".join(line.strip() for line in paragraph))))
            paragraph.clear()

    while at < len(lines):
        line = lines[at]
        html, following = _block_at(lines, at, depth, is_open=bool(paragraph))
        if following > at:
            end_paragraph()
            parts.append(html)
            at = following
            continue
        if line.strip():
            paragraph.append(line)
        else:
            end_paragraph()
        at += 1
    end_paragraph()
    return "".join(parts)


def _block_at(lines: Sequence[str], at: int, depth: int, *, is_open: bool) -> tuple[str, int]:
    """Render the block that begins at a line; return it and the line after it, or the same line if none begins."""
    line = lines[at]
    if fence := _FENCE.match(line):
        return _code_block(lines, at, fence)
    if heading := _HEADING.match(line):
        return element(f"h{len(heading[1])}", _inline(heading[2] or "")), at + 1
    if _RULE.match(line):
        return "<hr>", at + 1
    if _QUOTE.match(line):
        return _quotation(lines, at, depth)
    item = _ITEM.match(line)
    # Within a paragraph, only a list that begins with 1 begins: otherwise a year at the start of a line would.
    if item and line.strip() and not (is_open and (item[3] not in {None, "1"} or not line[item.end() :].strip())):
        return _list(lines, at, depth)
    if "|" in line and at + 1 < len(lines) and "|" in lines[at + 1] and _TABLE_RULE.match(lines[at + 1]):
        return _table(lines, at)
    return "", at


def _code_block(lines: Sequence[str], at: int, fence: re.Match[str]) -> tuple[str, int]:
    """Render a fenced block of code. One that is not closed ends with the text, as while it is written."""
    mark = fence[1]
    end = at + 1
    while end < len(lines):
        line = lines[end].strip()
        if line.startswith(mark) and not line.strip(mark[0]):
            break
        end += 1
    code = element("code", text("\n".join(lines[at + 1 : end])))
    # A formula in code is code; the class keeps MathJax away from it, as from all `pre`.
    return element("pre", code, class_="mathjax_ignore", style=_PRE), min(end + 1, len(lines))


def _quotation(lines: Sequence[str], at: int, depth: int) -> tuple[str, int]:
    inner: list[str] = []
    while at < len(lines) and (mark := _QUOTE.match(lines[at])):
        inner.append(lines[at][mark.end() :])
        at += 1
    return element("blockquote", _blocks(inner, depth + 1), style=_BAR), at


def _list(lines: Sequence[str], at: int, depth: int) -> tuple[str, int]:
    """Render a list: items of one kind, each with the lines that are indented below it."""
    first = _ITEM.match(lines[at])
    assert first is not None
    is_ordered, kind = first[3] is not None, first[2][-1]
    items: list[list[str]] = []
    is_loose = False
    while at < len(lines):
        mark = _ITEM.match(lines[at])
        if mark is None or mark[2][-1] != kind or _RULE.match(lines[at]):
            break
        indent = mark.end() if lines[at][mark.end() :].strip() else mark.end(2) + 1
        item = [lines[at][indent:]]
        at += 1
        blanks = 0
        while at < len(lines):
            line = lines[at]
            space = len(line) - len(line.lstrip())
            if not line.strip():
                blanks += 1
            elif space >= min(indent, 2 + len(mark[1])):
                item += [""] * blanks + [line[min(space, indent) :]]
                is_loose = is_loose or blanks > 0
                blanks = 0
            elif blanks or _begins_block(line):
                break
            else:
                item.append(line)  # the paragraph goes on without indentation
            at += 1
        following = _ITEM.match(lines[at]) if at < len(lines) else None
        is_loose = is_loose or (blanks > 0 and following is not None and following[2][-1] == kind)
        items.append(item)
    rendered = "".join(element("li", _item(item, depth, is_loose=is_loose)) for item in items)
    start = first[3] if is_ordered and first[3] != "1" else None
    return element("ol" if is_ordered else "ul", rendered, start=start), at


def _item(lines: Sequence[str], depth: int, *, is_loose: bool) -> str:
    box = ""
    task = _TASK.match(lines[0])
    if task:
        box = "☐ " if task[1] == " " else "☑ "
        lines = [lines[0][task.end() :], *lines[1:]]
    html = _blocks(lines, depth + 1)
    if not is_loose and html.startswith("<p>") and html.find("<p>", 3) < 0:
        html = html[3:].replace("</p>", "", 1)
    return box + html


def _begins_block(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_FENCE, _HEADING, _RULE, _QUOTE, _ITEM))


def _table(lines: Sequence[str], at: int) -> tuple[str, int]:
    head = _cells(lines[at])
    rows: list[list[str]] = []
    at += 2
    while at < len(lines) and "|" in lines[at] and lines[at].strip():
        rows.append(_cells(lines[at])[: len(head)])
        at += 1
    rows = [row + [""] * (len(head) - len(row)) for row in rows]
    top = "".join(element("th", _inline(cell), style=_CELL) for cell in head)
    body = "".join(
        element("tr", "".join(element("td", _inline(cell), style=_CELL) for cell in row)) for row in rows
    )  # fmt: skip
    inner = element("thead", element("tr", top)) + element("tbody", body)
    return element("table", inner, style="border-collapse:collapse;margin:0.5em 0"), at


def _cells(line: str) -> list[str]:
    """Return the cells of a row; a backslash before a bar keeps it in its cell."""
    row = line.strip().removeprefix("|")
    row = row[:-1] if row.endswith("|") and not row.endswith("\\|") else row
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)]


# --- inline ----------------------------------------------------------------------------------------------


def _inline(source: str, depth: int = 0) -> str:
    """Render what is inside a paragraph."""
    parts: list[str] = []
    openers: list[tuple[str, int]] = []
    at = 0
    while at < len(source):
        special = _SPECIAL.search(source, at)
        if special is None:
            parts.append(text(source[at:]))
            break
        if special.start() > at:
            parts.append(text(source[at : special.start()]))
        at = _special(source, special.start(), parts, openers, depth)
    return "".join(parts)


def _special(source: str, at: int, parts: list[str], openers: list[tuple[str, int]], depth: int) -> int:
    """Render what begins with a character that can mean something; return the place after it."""
    letter = source[at]
    found: tuple[str, int] | None = None
    if letter == "\\":
        found = _escape(source, at)
    elif letter == "`":
        found = _code_span(source, at)
    elif letter == "$":
        found = _formula(source, at)
    elif letter == "\n":
        found = ("<br>" if source[max(0, at - 1) : at] == "\\" else "\n"), at + 1
    elif letter == "<":
        found = _autolink(source, at)
    elif letter in "[!":
        found = _link(source, at, depth)
    elif letter == "h":
        found = _bare_url(source, at)
    elif letter in "*_~":
        return _emphasis(source, at, parts, openers)
    html, following = found or (text(letter), at + 1)
    parts.append(html)
    return following


def _escape(source: str, at: int) -> tuple[str, int]:
    following = source[at + 1 : at + 2]
    if following in {"(", "["}:  # a formula of LaTeX, which JupyterLab typesets
        end = source.find("\\" + {"(": ")", "[": "]"}[following], at + 2, at + _LONGEST_LINK)
        if end > 0:
            return text(source[at : end + 2]), end + 2
    if following == "\n":
        return "<br>", at + 2
    if following and following in _PUNCTUATION:
        return _plain(following), at + 2
    return text("\\"), at + 1


def _plain(letter: str) -> str:
    """Return a character as text that MathJax leaves alone."""
    return element("span", "$", class_="mathjax_ignore") if letter == "$" else text(letter)


def _code_span(source: str, at: int) -> tuple[str, int]:
    mark = _TICKS.match(source, at)[0]  # type: ignore[index]  # there is at least one
    size = len(mark)
    end = source.find(mark, at + size, at + size + 10 * _LONGEST_LINK)
    while end >= 0 and source[end + size : end + size + 1] == "`":
        longer = _TICKS.match(source, end)
        assert longer is not None
        end = source.find(mark, longer.end(), at + size + 10 * _LONGEST_LINK)
    if end < 0:
        return text(mark), at + size
    code = source[at + size : end].replace("\n", " ")
    if code.startswith(" ") and code.endswith(" ") and code.strip():
        code = code[1:-1]
    return element("code", text(code), class_="mathjax_ignore", style=_CODE), end + size


def _formula(source: str, at: int) -> tuple[str, int]:
    """Leave a formula to JupyterLab, and any other dollar sign, such as that of a price, to no one."""
    if source.startswith("$$", at):
        end = source.find("$$", at + 2, at + _LONGEST_LINK)
        if end > at + 2:
            return text(source[at : end + 2]), end + 2
        return _plain("$") * 2, at + 2
    end = source.find("$", at + 1, at + _LONGEST_LINK)
    inner = source[at + 1 : end] if end > 0 else ""
    is_formula = inner and inner.strip() == inner and "\n" not in inner and not source[end + 1 : end + 2].isdigit()
    return (text(source[at : end + 1]), end + 1) if is_formula else (_plain("$"), at + 1)


def _autolink(source: str, at: int) -> tuple[str, int] | None:
    found = _AUTOLINK.match(source, at)
    return None if found is None else (_anchor(found[1], text(found[1])), found.end())


def _bare_url(source: str, at: int) -> tuple[str, int] | None:
    found = _URL.match(source, at)
    if found is None or (at and (source[at - 1].isalnum() or source[at - 1] in "/_")):
        return None
    url = found[0].rstrip(".,;:!?*_~)]}")
    while url.count("(") > url.count(")") and found[0][len(url) : len(url) + 1] == ")":
        url += ")"
    return _anchor(url, text(url)), at + len(url)


def _link(source: str, at: int, depth: int) -> tuple[str, int] | None:
    """Render `[words](url)`, and an image as a link to it."""
    is_image = source[at] == "!"
    start = at + 1 + is_image
    if is_image and source[at + 1 : at + 2] != "[":
        return None
    end = _closing(source, start)
    if end < 0 or source[end + 1 : end + 2] != "(":
        return None
    close = _closing_parenthesis(source, end + 2)
    if close < 0:
        return None
    url = source[end + 2 : close].strip().split(" ", 1)[0].strip("<>")
    label = source[start:end]
    if depth >= _DEEPEST or "\n" in url:
        return None
    words = (
        text(f"image: {label or url}") if is_image else _inline(label, depth + 1) if "](" not in label else text(label)
    )
    anchor = _anchor(url, words)
    return anchor, close + 1


def _closing(source: str, start: int) -> int:
    """Return the place of the bracket that closes one, at most a link's length away; -1 if there is none."""
    last = source.rfind("]", start, start + _LONGEST_LABEL)
    level = 1
    for at in range(start, last + 1):
        letter = source[at]
        if letter == "\\":
            continue
        level += (letter == "[") - (letter == "]")
        if not level:
            return at
    return -1


def _closing_parenthesis(source: str, start: int) -> int:
    """Return the place of the parenthesis that closes a URL, which may contain pairs of them; -1 if there is none."""
    last = source.rfind(")", start, start + _LONGEST_LINK)
    level = 1
    for at in range(start, last + 1):
        level += (source[at] == "(") - (source[at] == ")")
        if not level:
            return at
    return -1


def _anchor(url: str, words: str) -> str:
    """Write a link, if its URL leads to a page or an address; any other one, such as of a script, is shown as text."""
    try:
        is_safe = urlsplit(url).scheme.lower() in _SCHEMES
    except ValueError:
        is_safe = False
    if not is_safe or not url.isprintable() or len(url) > _LONGEST_LINK:
        return f"{words} ({text(url)})" if url else words
    if "<a " in words:
        return words
    return element("a", words, href=url, target="_blank", rel="noopener noreferrer nofollow")


_TAGS = {"**": "strong", "__": "strong", "*": "em", "_": "em", "~~": "del"}


def _emphasis(source: str, at: int, parts: list[str], openers: list[tuple[str, int]]) -> int:
    """Note an opening mark, or close the last one of its kind; a mark without its partner stays as typed."""
    letter = source[at]
    mark = letter * 2 if source[at + 1 : at + 2] == letter else letter
    if openers and openers[-1][0] == letter and source.startswith(letter * 3, at):
        mark = letter  # of three, the inner one closes first
    before, after = source[at - 1 : at] if at else "", source[at + len(mark) : at + len(mark) + 1]
    if letter == "~" and mark != "~~":
        parts.append(text(letter))
        return at + 1
    opens, closes = bool(after) and not after.isspace(), bool(before) and not before.isspace()
    if letter == "_":  # not within a word such as snake_case
        opens, closes = opens and not before.isalnum(), closes and not after.isalnum()
    places = [number for number, (other, _) in enumerate(openers) if other == mark] if closes else []
    if places:
        number = places[-1]
        _, place = openers[number]
        if place + 1 < len(parts):  # something is between them
            del openers[number:]
            parts[place] = f"<{_TAGS[mark]}>"
            parts.append(f"</{_TAGS[mark]}>")
            return at + len(mark)
    if opens and len(openers) < 50:
        openers.append((mark, len(parts)))
    parts.append(text(mark))
    return at + len(mark)
