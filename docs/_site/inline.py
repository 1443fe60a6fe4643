"""Equations within sentences: where one begins and ends, which nobody marks in a docstring.

A sentence is taken as words. What can only be mathematics is the seed of an equation: an index on a letter, a power, a
root, a modulus, a sign of relation or a stroke between symbols. It grows to both sides over symbols, numbers, signs and
whatever stands within its brackets; punctuation outside of them ends it. What does not read as an equation then stays
as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .equations import FUNCTIONS, GREEK, NotAnEquation, latex


def _any(words: set[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_LETTER = rf"(?:{_any(GREEK | {'lr'})}|[A-Za-z])"
_SEED = re.compile(
    rf"(?<![\w.]){_LETTER}\^?_(?:\w(?!\w)|half|\{{)|\)_\w|\bm(?:in|ax)_\w(?!\w)"  # indices
    r"|[\w)|]\^(?=[\w({-]|[_)\s/]|$)|\bsqrt\(|\|[\w(][^|]*\|"  # powers and hats, roots, moduli
)
_RELATION = re.compile(r"(?:=|<=|>=|<|>|!=)$")
_SIGN = re.compile(r"(?:[-+*/~]|->)$")
_SMALL = re.compile(rf"[-(|<]*(?:{_LETTER}\d?|\d+(?:\.\d+)?(?:e-?\d+)?)'?[)|>]*$")
_WORDS = {
    "log",
    "cosh",
    "exp",
    "max",
    "min",
    "argmin",
    "argmax",
    "sum",
    "E",
}  # that stand before their argument
_APPLIED = re.compile(
    rf"[-(|\d]*(?:{_any(_WORDS | {'mean', 'rms', 'sign', 'clip', 'conj', 'tanh'})}|[A-Za-z]'?)\("
)
_NAME = re.compile(r"[-(|]*[A-Za-z][A-Za-z_]*(?:\([a-z](?:, [a-z])*\))?[)|]*$")
_CODE = re.compile(r"[\"'`\\@#%$&]{2}|[\"`\\@#%$&]|//|\w\.\w|=\w|\w=|::|\*\*|, \*\w|\w\[|\[[\d:'\"]")
_LITTLE = {
    "a",
    "as",
    "at",
    "by",
    "in",
    "is",
    "it",
    "no",
    "of",
    "on",
    "or",
    "to",
    "an",
    "be",
    "if",
    "so",
    "we",
}
_HEAD = re.compile(r"(?:(?<=\. )|^)\w+(?:, \w+)*: ", re.MULTILINE)  # of an item: its names


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces: (as it stands, False) or (LaTeX of an equation, True)."""
    if "\\" in text:  # LaTeX already
        yield text, False
        return
    names = [head.span() for head in _HEAD.finditer(text)]
    words = list(re.finditer(r"\S+", text))
    done = taken = 0
    for at, word in enumerate(words):
        if at < taken or any(a <= word.start() < b for a, b in names) or not _is_seed(words, at):
            continue
        for first, last in (_grown([w.group() for w in words], at, taken), (at, at)):
            start, end = _without_marks(text, words[first].start(), words[last].end())
            found = "" if _ends_amid_words(words[last:]) else formula(text[start:end])
            if found:
                yield text[done:start], False
                yield found, True
                done, taken = end, last + 1
                break
    yield text[done:], False


def formula(text: str) -> str:
    """The LaTeX of a text that is one equation; empty where it is none."""
    text = " ".join(text.split())
    if _is_code(text) or _depth(text) or text.count("|") % 2 or not _is_mathematics(text):
        return ""
    try:
        (found,) = latex(text)
    except (NotAnEquation, ValueError, IndexError):
        return ""
    if r"\text{" in found:
        return ""
    return re.sub(r"(?<!\\)\|", r"\\vert ", found).replace(r"\frac", r"\dfrac").strip()


def in_code(text: str) -> str:
    """The LaTeX of a code span that is no code but an equation between letters; empty else."""
    letters = all(
        re.fullmatch(rf"{_LETTER}\d?|ij|{_any(FUNCTIONS)}", name)
        for name in re.findall(r"[A-Za-z]+\d?", text)
    )
    return formula(text) if letters and re.search(r"[ |]", text) else ""


def _is_mathematics(text: str) -> bool:
    """Whether it has a seed, or relates symbols: `x >= 0`, but not `eps = 1e-8`, which sets an argument."""
    sides = re.split(r" (?:=|<=|>=|<|>|!=) ", text)
    related = len(sides) > 1 and all(sides) and not re.fullmatch(r"[A-Za-z]\w+", sides[0])
    return bool(_SEED.search(text)) or related or bool(re.search(r"\S / \S", text))


def _is_code(text: str) -> bool:
    return bool(_CODE.search(re.sub(r"\d\.\d|\.\.\.", "0", text)))


def _is_seed(words: list[re.Match[str]], at: int) -> bool:
    word = words[at].group()
    if _is_code(word):
        return False
    if _RELATION.match(word):
        return 0 < at < len(words) - 1
    if word == "/":
        return any(_is_math(w.group()) or w.group()[-1] == ")" for w in words[at - 1 : at + 2 : 2])
    if word.count("|") % 2:
        word = " ".join(w.group() for w in words[at : at + 6])
    return bool(_SEED.search(word))


def _grown(words: list[str], at: int, lowest: int) -> tuple[int, int]:
    """The first and the last word of an equation around the seed."""
    first = last = at
    while last + 1 < len(words) and _follows(words, first, last):
        last += 1
    while first > lowest and _precedes(words, first, last):
        first -= 1
    while last + 1 < len(words) and _follows(words, first, last):  # in brackets that open on the left
        last += 1
    while last > first and (_SIGN.match(words[last]) or _RELATION.match(words[last])):
        last -= 1
    while first < last and words[first] in ("*", "/", "+"):
        first += 1
    return first, last


def _follows(words: list[str], first: int, last: int) -> bool:
    here, word = words[last], words[last + 1]
    if _is_open(words, first, last):
        return True
    if here[-1] in ",;:.":
        more = re.fullmatch(r"\d+,", here) and re.match(r"\d|\.\.\.", word)
        return bool(more or (here == "...," and _NAME.match(_bare(word))))
    if _SIGN.match(here) or _RELATION.match(here) or here in _WORDS:
        return bool(_NAME.match(_bare(word))) or _is_math(word)
    if _bare(word) in _LITTLE:
        return word != _bare(word) or last + 2 == len(words)
    return _is_math(word)


def _precedes(words: list[str], first: int, last: int) -> bool:
    word, here = words[first - 1], words[first]
    run = " ".join(words[first : last + 1])
    if _depth(run) < 0 or _bare(run).count("|") % 2 or (word[-1] == ")" and _closes_a_sum(words[:first])):
        return True
    if word[-1] in ",;:.":
        return False
    if _SIGN.match(here) or _RELATION.match(here):
        return bool(_NAME.match(word)) or _is_math(word)
    starts = first == 1 or words[first - 2][-1] in ".:;"
    if starts and re.fullmatch(r"[a-z_]{3,}", word) and re.search(r" [-+] ", run):
        return True
    return _is_math(word) and word not in _LITTLE | {"A", "I"}


def _is_math(word: str) -> bool:
    bare = _bare(word)
    if not bare or _is_code(bare):
        return False
    kinds = (_SIGN, _RELATION, _SMALL, _APPLIED)
    return (
        bare.lstrip("(") in _WORDS
        or bare == "..."
        or any(k.match(bare) for k in kinds)
        or bool(_SEED.search(bare))
    )


def _is_open(words: list[str], first: int, last: int) -> bool:
    run = " ".join(words[first : last + 1])
    return _depth(run) > 0 or run.count("|") % 2 == 1


def _bare(word: str) -> str:
    return "..." if word.startswith("...") else word.rstrip(".,;:")


def _closes_a_sum(words: list[str]) -> bool:
    """Whether the last of the words closes a bracket that holds a sum or a difference."""
    for k in range(len(words) - 1, max(len(words) - 8, -1), -1):
        inside = words[k:]
        if _depth(" ".join(inside)) == 0:
            return any(w in "+-" for w in inside) and not _is_code(" ".join(inside))
    return False


def _ends_amid_words(words: list[re.Match[str]]) -> bool:
    """Whether the last word is one of several of a sentence: `N = number of heads`."""
    here, after = words[0].group(), words[1].group() if len(words) > 1 else ""
    return bool(re.fullmatch(r"[a-z]{3,}", here) and re.match(r"[a-z]{2,}", after)) and here not in GREEK


def _depth(text: str) -> int:
    opened = sum(text.count(c) for c in "({[") + len(re.findall(r"<(?=\w)", text))
    return opened - sum(text.count(c) for c in ")}]") - len(re.findall(r"(?<=\w)>", text))


def _without_marks(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the punctuation of the sentence, and without its brackets around the equation."""
    while end > start and text[end - 1] in ".,;:" and not text[start:end].endswith("..."):
        end -= 1
    while _depth(text[start:end]) > 0 and text[start] == "(":
        start += 1
    while _depth(text[start:end]) < 0 and text[end - 1] == ")":
        end = start + len(text[start : end - 1].rstrip(".,;:"))
    return start, end
