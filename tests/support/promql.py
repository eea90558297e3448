"""Enough of PromQL to know which metrics and labels an expression names, and to refuse what Prometheus would refuse.

`parse` returns the vector selectors with the functions around each, and the labels that every aggregation asks for. It does
not evaluate anything. Grafana's variables (`$job`, `$__rate_interval`) must be replaced before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
    | (?P<number>(?:\d+\.?\d*(?:[eE][+-]?\d+)?|0x[\da-fA-F]+))
    | (?P<name>[a-zA-Z_][\w:]*)
    | (?P<op>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],=<>:@])
    )""",
    re.VERBOSE,
)
AGGREGATIONS = {"sum", "avg", "min", "max", "count", "stddev", "stdvar", "group", "topk", "bottomk", "quantile"}
WITH_PARAMETER = {"topk", "bottomk", "quantile"}
RANGED = {
    *("rate", "irate", "increase", "delta", "idelta", "deriv", "changes", "resets", "predict_linear"),
    *("avg_over_time", "max_over_time", "min_over_time", "sum_over_time", "count_over_time", "last_over_time"),
    *("quantile_over_time", "present_over_time", "absent_over_time"),
}
FUNCTIONS = RANGED | {
    *("histogram_quantile", "label_replace", "label_join", "clamp_min", "clamp_max", "clamp", "abs", "ceil", "floor"),
    *("round", "time", "vector", "scalar", "absent", "sort", "sort_desc", "timestamp", "sqrt", "ln", "log2", "sgn"),
}
COUNTING = {"rate", "irate", "increase", "resets"}
LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", ">=", "<=", ">", "<"),
    ("+", "-"),
    ("*", "/", "%"),
)


class Wrong(ValueError):
    """The expression is not PromQL."""


@dataclass(frozen=True)
class Selector:
    """`inside` are the functions and aggregations around it, the innermost last."""

    metric: str
    labels: frozenset[str]
    inside: tuple[str, ...]
    ranged: bool


@dataclass
class Query:
    selectors: list[Selector] = field(default_factory=list)
    #: Labels that an aggregation groups by, with the metrics inside it.
    grouped: list[tuple[frozenset[str], tuple[str, ...]]] = field(default_factory=list)
    #: Labels of on, ignoring, group_left.
    matched: set[str] = field(default_factory=set)

    @property
    def metrics(self) -> set[str]:
        return {selector.metric for selector in self.selectors}


def parse(text: str) -> Query:
    """Raises Wrong saying where."""
    reading = _Reading(text)
    reading.expression()
    if reading.at < len(reading.tokens):
        raise Wrong(f"{reading.peek()!r} is too much in: {text}")
    return reading.query


class _Reading:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.at = 0
        self.inside: list[str] = []
        self.query = Query()

    # --- tokens

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place][1] if place < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "end"

    def take(self, *wanted: str) -> str:
        found = self.peek()
        if wanted and found not in wanted:
            raise Wrong(f"{' or '.join(wanted)} is missing before {found!r} in: {self.text}")
        self.at += 1
        return found

    def take_kind(self, kind: str) -> str:
        if self.kind() != kind:
            raise Wrong(f"a {kind} is missing before {self.peek()!r} in: {self.text}")
        return self.take()

    # --- grammar

    def expression(self, level: int = 0) -> None:
        if level == len(LEVELS):
            self.power()
            return
        self.expression(level + 1)
        while self.peek() in LEVELS[level]:
            self.take()
            if self.peek() == "bool":
                self.take()
            self.matching()
            self.expression(level + 1)

    def matching(self) -> None:
        if self.peek() in ("on", "ignoring"):
            self.take()
            self.query.matched |= self.names()
            if self.peek() in ("group_left", "group_right"):
                self.take()
                if self.peek() == "(":
                    self.query.matched |= self.names()

    def power(self) -> None:
        self.unary()
        if self.peek() == "^":
            self.take()
            self.power()

    def unary(self) -> None:
        while self.peek() in ("-", "+"):
            self.take()
        ranged_from = len(self.query.selectors)
        self.atom()
        self.suffixes(ranged_from)

    def suffixes(self, first: int) -> None:
        """Ranges, subqueries, offsets."""
        while self.peek() in ("[", "offset"):
            if self.take() == "offset":
                if self.peek() == "-":
                    self.take()
                self.take_kind("duration")
                continue
            self.take_kind("duration")
            if self.peek() == ":":
                self.take()
                if self.kind() == "duration":
                    self.take()
            self.take("]")
            for place in range(first, len(self.query.selectors)):
                one = self.query.selectors[place]
                self.query.selectors[place] = Selector(one.metric, one.labels, one.inside, True)

    def atom(self) -> None:
        match self.kind():
            case "number" | "string" | "duration":
                self.take()
            case "name":
                self.named()
            case _:
                self.take("(")
                self.expression()
                self.take(")")

    def named(self) -> None:
        name, following = self.take(), self.peek()
        if name in AGGREGATIONS and following in ("(", "by", "without"):
            self.aggregation(name)
        elif following == "(":
            if name not in FUNCTIONS:
                raise Wrong(f"there is no function {name} in: {self.text}")
            self.call(name)
        else:
            self.selector(name)

    def aggregation(self, name: str) -> None:
        first = len(self.query.selectors)
        labels = self.grouping()
        self.call(name, exactly=2 if name in WITH_PARAMETER else 1)
        labels = labels or self.grouping()
        inside = tuple(one.metric for one in self.query.selectors[first:])
        self.query.grouped.append((frozenset(labels or ()), inside))

    def grouping(self) -> set[str] | None:
        if self.peek() in ("by", "without"):
            self.take()
            return self.names()
        return None

    def call(self, name: str, exactly: int | None = None) -> None:
        self.take("(")
        self.inside.append(name)
        first, arguments = len(self.query.selectors), 0
        while self.peek() != ")":
            self.expression()
            arguments += 1
            if self.peek() == ",":
                self.take()
            elif self.peek() != ")":
                self.take(",", ")")
        self.take(")")
        self.inside.pop()
        if exactly is not None and arguments != exactly:
            raise Wrong(f"{name} takes {exactly} arguments, not {arguments}, in: {self.text}")
        if name in RANGED and not all(one.ranged for one in self.query.selectors[first:]):
            raise Wrong(f"{name} needs a range such as [5m] in: {self.text}")

    def selector(self, metric: str) -> None:
        labels = set()
        if self.peek() == "{":
            self.take()
            while self.peek() != "}":
                labels.add(self.take_kind("name"))
                self.take("=", "!=", "=~", "!~")
                pattern = self.take_kind("string")
                re.compile(pattern[1:-1])
                if self.peek() != "}":
                    self.take(",")
            self.take("}")
        self.query.selectors.append(Selector(metric, frozenset(labels), tuple(self.inside), False))

    def names(self) -> set[str]:
        found = set()
        self.take("(")
        while self.peek() != ")":
            found.add(self.take_kind("name"))
            if self.peek() != ")":
                self.take(",")
        self.take(")")
        return found


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise Wrong(f"{text[at : at + 20]!r} cannot be read in: {text}")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()
