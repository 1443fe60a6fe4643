"""Equations as docstrings write them, `u_t = -lr_t m^_t / (sqrt(v^_t) + eps)`, as LaTeX.

The notation: products by juxtaposition; a fraction's denominator is the one factor after `/`, its numerator the product
before it; `_` and `^` for indices and powers, `x^` for a hat, names of Greek letters, words that stay words. Three
spaces or more part an equation from the remark beside it.
"""

from __future__ import annotations

import re

GREEK = {
    "alpha", "beta", "gamma", "delta", "eps", "epsilon", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "pi",
    "rho", "sigma", "tau", "phi", "psi", "omega", "Omega", "Phi",
}  # fmt: skip
FUNCTIONS = {
    "sqrt", "max", "min", "sign", "clip", "rms", "mean", "sum", "log", "ln", "exp", "cos", "sin", "cosh", "tanh",
    "conj", "argmin", "argmax", "grad", "Re",
}  # fmt: skip
TOKEN = re.compile(
    r"\s+|[A-Za-z]{2,}(?:_[A-Za-z]{2,})+(?![A-Za-z0-9_{^])|[A-Za-z]{3,}'s?(?=\s)|[A-Za-z]+|\d+(?:\.\d+)?(?:e-?\d+)?|<=|>=|<-|->|\+-|\.\.\.|:=|!="
    r"|[-+*/^_=<>()\[\]{}|,;.:'~]"
)
SIGNS = {
    "<=": r"\le ", ">=": r"\ge ", "<-": r"\leftarrow ", "->": r"\rightarrow ", "+-": r"\pm ", "...": r"\ldots ",
    "*": r"\cdot ", "~": r"\sim ", "{": r"\{", "}": r"\}", "!=": r"\ne ",
}  # fmt: skip
CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">", "|": "|"}


class NotAnEquation(ValueError):
    """The text is not in the notation."""


def is_equation(block: str) -> bool:
    """Whether an indented block of a docstring holds equations, and neither code nor a table."""
    if re.search(r">>>|\"|`|\bdef \b|\bimport\b|──|#|\w\.\w|\w\(\*|=\w+[,)]|[@%$\\&]", block):
        return False
    found = [bool(re.search(r"(?<![=<>])=(?!=)|<[-=]|argmin|min_", line)) for line in _lines(block)]
    return found[0] and 2 * sum(found) > len(found)


def latex(block: str) -> list[str]:
    """The LaTeX of a block, one string for each of its lines, with the remarks to the right.

    Raises:
      NotAnEquation: brackets do not match, or a character has no meaning here.
    """
    rows = []
    for line in _lines(block):
        cells = re.split(r"\s{3,}", line.strip())
        label = re.match(r"([A-Za-z][\w' -]*):\s+(?=\S)", cells[0])
        parts = [rf"\text{{{label.group(1)}:}}\quad "] if label else []
        cells[0] = cells[0][label.end() :] if label else cells[0]
        parts += [rf"\qquad {_cell(cell)}" if k else _cell(cell) for k, cell in enumerate(cells)]
        rows.append("".join(parts))
    return rows


def _lines(block: str) -> list[str]:
    """The equations; a line that begins with spaces, or lacks a sign of relation, goes on from the one before it."""
    lines: list[str] = []
    for line in filter(str.strip, block.splitlines()):
        if lines and line.startswith("  "):
            lines[-1] += "   " + line.strip()
        else:
            lines.append(line.rstrip())
    return lines


def _cell(text: str) -> str:
    tokens, end = [], 0
    for match in TOKEN.finditer(text):
        if match.start() != end:
            raise NotAnEquation(text)
        tokens.append(match.group())
        end = match.end()
    if end != len(text):
        raise NotAnEquation(text)
    reader = _Reader(tokens)
    found = reader.sequence(None)
    return found


class _Reader:
    """Reads tokens from the left; each method returns LaTeX."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def skip(self) -> None:
        while self.peek().isspace():
            self.at += 1

    def sequence(self, closing: str | None) -> str:
        """Everything up to a closing bracket, which is consumed; products that stand before `/` become numerators."""
        out: list[str] = []
        product: list[str] = []
        while True:
            spaced = self.peek().isspace()
            self.skip()
            token = self.peek()
            if token == (closing or "") and (token != "|" or product or out):
                self.at += 1
                return "".join(out + product)
            if not token or token in ")]":
                raise NotAnEquation("".join(self.tokens))
            if token == "/":
                self.at += 1
                self.skip()
                if not product:
                    raise NotAnEquation("".join(self.tokens))
                below = self.factor(strip=True)
                above = "".join(product)
                product = [rf"\frac{{{_bare(above)}}}{{{below}}}"]
            elif (
                token in "+-=,;.:*~"
                or (token in SIGNS and token != "{")
                or (token in "<>" and not self._angle())
            ):
                self.at += 1
                mark = SIGNS.get(token, token)
                out += [*product, mark + (r"\;" if token in ",;:" and self.peek().isspace() else "")]
                product = []
            elif self._is_word(token):
                out += [*product, rf"\text{{{' ' if spaced or out else ''}{self.words()} }}"]
                product = []
            else:
                if product and spaced:
                    product.append(r"\,")
                product.append(self.factor())

    def _angle(self) -> bool:
        """Whether a `<` opens an inner product."""
        rest = "".join(self.tokens[self.at :])
        return self.peek() == "<" and ">" in rest and "," in rest.partition(">")[0]

    def _is_word(self, token: str) -> bool:
        if not _is_letters(token) or token in GREEK or (token in FUNCTIONS and self.peek(1) in "(_<^ "):
            return False
        return len(token) > 2 and self.peek(1) not in ("_", "^", "(") and self._plain(self.at)

    def _plain(self, at: int) -> bool:
        """Whether the token beside this one is a word, too: a single long name is a symbol."""
        near = [self.tokens[k] for k in (at - 2, at + 2) if 0 <= k < len(self.tokens)]
        return any(_is_letters(t) and len(t) > 1 and t not in GREEK | FUNCTIONS for t in near)

    def words(self) -> str:
        found = []
        while _is_letters(self.peek()) and self.peek(1) not in ("_", "^", "("):
            found.append(self.peek())
            self.at += 1
            if not self.peek().isspace() or not _is_letters(self.peek(1)):
                break
            self.at += 1
        return " ".join(found)

    def factor(self, strip: bool = False) -> str:
        """One factor with its indices, powers and arguments."""
        token = self.peek()
        self.at += 1
        if token in CLOSING:
            inner = self.sequence(CLOSING[token])
            if strip and token == "(" and self.peek() not in ("^", "_"):
                return inner
            left, right = {"<": ("\\langle ", "\\rangle "), "{": ("\\{", "\\}")}.get(
                token, (token, CLOSING[token])
            )
            return self._marks(rf"\left{left}{inner}\right{right}")
        if token == "sqrt" and self.peek() == "(":
            self.at += 1
            return self._marks(rf"\sqrt{{{self.sequence(')')}}}")
        if token.isdigit() or token[0].isdigit():
            return self._marks(
                re.sub(r"^1(?=\\cdot)\\cdot ", "", re.sub(r"e(-?\d+)$", r"\\cdot 10^{\1}", token))
            )
        if not token[0].isalpha():
            raise NotAnEquation(token)
        return self._marks(self._name(token))

    def _name(self, token: str) -> str:
        if token in GREEK:
            name = {"eps": r"\epsilon "}.get(token, rf"\{token} ")
        elif len(token) == 1:
            name = token
        elif token == "sum":
            return r"\sum "
        elif token in FUNCTIONS:
            name = rf"\operatorname{{{token}}}"
        else:
            escaped = token.replace("_", r"\_")
            name = rf"\mathrm{{{escaped}}}"
        if self.peek().isdigit():
            digits = self.peek()
            self.at += 1
            return rf"{{{name}_{{{digits}}}}}" if self.peek() == "_" else rf"{name}_{{{digits}}}"
        if self.peek() == "^" and not re.match(r"[^\W_]|[({-]", self.peek(1) or " "):
            self.at += 1
            return rf"\hat{{{name}}}"
        return name

    def _marks(self, base: str) -> str:
        """Indices, powers, primes and a list of arguments behind a factor."""
        while True:
            token = self.peek()
            if token in ("_", "^"):
                self.at += 1
                base += f"{token}{{{self._script()}}}"
            elif token == "'" or (token == "*" and self.peek(1) == "("):
                self.at += 1
                base += "'" if token == "'" else "^{*}"
            elif (token == "(" and base[-1] not in ")|}") or (
                token == "(" and base.startswith(r"\operatorname")
            ):
                self.at += 1
                base += rf"\left({self.sequence(')')}\right)"
            else:
                return base

    def _script(self) -> str:
        sign = ""
        if self.peek() == "-":
            sign = "-"
            self.at += 1
        token = self.peek()
        if token in "({":
            self.at += 1
            return sign + self.sequence(CLOSING[token])
        self.at += 1
        if not token or not token[0].isalnum():
            raise NotAnEquation(token)
        if token in GREEK or len(token) == 1 or token.isdigit():
            name = self._name(token) if _is_letters(token) else token
        else:
            name = {"inf": r"\infty", "ij": "ij"}.get(token, rf"\mathrm{{{token}}}".replace("_", r"\_"))
        if self.peek() == "_" and not sign:
            self.at += 1
            return f"{name}_{{{self._script()}}}"
        return sign + name


def _is_letters(token: str) -> bool:
    return token.replace("'", "").isalpha()


def _bare(product: str) -> str:
    """A numerator without the brackets around all of it."""
    if product.startswith(r"\left(") and product.endswith(r"\right)") and product.count(r"\left(") == 1:
        return product[len(r"\left(") : -len(r"\right)")]
    return product
