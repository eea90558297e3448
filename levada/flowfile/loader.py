"""YAML to plain data with positions: strict, and safe on any input.

Flow files are YAML 1.2 (core schema): `yes`, `012` and `1:30` are what they look like. PyYAML's C parser gives events; this
module builds the data from them itself, without recursion, so that it can count. Refused with line and column: tags that make
objects, keys that are not scalars, values JSON cannot carry, nesting beyond MAX_DEPTH, and aliases that would expand to more
than MAX_NODES. Duplicate keys do not stop the reading: they are listed in the document. Aliased values are shared, not copied: nobody may change loaded data in place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import yaml

from levada.model.errors import UserError

Path = tuple[str | int, ...]

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
#: Values of one document, with aliases and merges counted as if written out.
MAX_NODES: Final = 100_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_JSON_ONLY = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_TAG = "tag:yaml.org,2002:"
_INTEGERS = range(-(2**63), 2**64)
#: Only these characters can begin a plain scalar that is not text.
_TYPED_START = frozenset("~nNtTfF-+.0123456789")


class BadYaml(UserError):
    """The source cannot be read as YAML. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int, path: Path = ()) -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.path = message, line, column, path


@dataclass(frozen=True, slots=True)
class ScalarMark:
    """Where a text value stands in the source: needed to point into it. `style` is YAML's: `|`, `>`, quotes or empty."""

    line: int
    column: int
    style: str


@dataclass(slots=True)
class Document:
    """One document: its data, and for each path the line and column (from 1) of its key or list item."""

    data: Any
    marks: dict[Path, tuple[int, int]]
    texts: dict[Path, ScalarMark]
    source: str
    #: Lines before this document in the file it was cut out of.
    line_offset: int = 0
    #: Keys that are written twice. The data has the last value.
    duplicates: list[BadYaml] = field(default_factory=list)

    def position(self, path: Path) -> tuple[int, int]:
        """Return line and column of `path`, or of the nearest thing around it that is written in the source."""
        for end in range(len(path), -1, -1):
            found = self.marks.get(path[:end])
            if found is not None:
                return found
        return (1 + self.line_offset, 1)


@dataclass(slots=True)
class _Open:
    """A list or map under construction."""

    path: Path
    value: Any
    anchor: str | None
    nodes_before: int
    is_map: bool
    key: str | None = None
    merging: bool = False
    merges: list[Any] = field(default_factory=list)
    depth_below: int = 0


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    nodes: int
    depth: int


def load(source: str, *, line_offset: int = 0) -> Document:
    """Return the one document of `source`; raises BadYaml. CPU only; about 10 µs per line."""
    source = source.removeprefix("\ufeff")
    _check_characters(source, line_offset)
    builder = _Builder(source, line_offset)
    try:
        for event in _events(_escaped_json(source)):
            builder.feed(event)
    except yaml.YAMLError as problem:
        raise _translate(problem, source, line_offset) from problem
    return Document(builder.result, builder.marks, builder.texts, source, line_offset, builder.duplicates)


def _events(source: str) -> Iterator[Any]:
    yield from yaml.parse(source, Loader=yaml.CSafeLoader)


def _escaped_json(source: str) -> str:
    """JSON may hold characters that YAML 1.1 takes for line breaks or refuses; escaped they survive in both."""
    if not source.startswith("{") or _JSON_ONLY.search(source) is None:
        return source
    try:
        msgspec.json.decode(source)
    except (msgspec.DecodeError, RecursionError):
        return source
    return _JSON_ONLY.sub(lambda found: f"\\u{ord(found[0]):04x}", source)


def _check_characters(source: str, line_offset: int) -> None:
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as problem:
        line, column = position(source, problem.start)
        raise BadYaml("half a surrogate pair is not a character", line + line_offset, column) from problem
    if size > MAX_BYTES:
        raise BadYaml(f"the source has {size} bytes; a flow may have {MAX_BYTES}", 1 + line_offset, 1)
    at = source.find("\0")
    if at >= 0:
        line, column = position(source, at)
        raise BadYaml("a NUL character is not allowed", line + line_offset, column)


def position(source: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a character offset."""
    start = source.rfind("\n", 0, offset) + 1
    return source.count("\n", 0, start) + 1, offset - start + 1


def _translate(problem: yaml.YAMLError, source: str, line_offset: int) -> BadYaml:
    mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
    if mark is not None:
        text = getattr(problem, "problem", None) or "cannot be read"
        context = getattr(problem, "context", None)
        message = f"not valid YAML: {text} {context}" if context else f"not valid YAML: {text}"
        return BadYaml(message, mark.line + 1 + line_offset, mark.column + 1)
    offset = getattr(problem, "position", 0)
    line, column = position(source, offset)
    reason = getattr(problem, "reason", None) or "cannot be read"
    return BadYaml(f"not valid YAML: {reason}", line + line_offset, column)


class _Builder:
    """Turns events into data. `feed` raises BadYaml at the first thing that is not allowed."""

    def __init__(self, source: str, line_offset: int) -> None:
        self.result: Any = None
        self.marks: dict[Path, tuple[int, int]] = {}
        self.texts: dict[Path, ScalarMark] = {}
        self.duplicates: list[BadYaml] = []
        self._offset = line_offset + 1
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._nodes = 0
        self._documents = 0

    def feed(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open(event, kind is yaml.MappingStartEvent)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise self._bad(event, "a second document begins here; a flow is one document")

    def _bad(self, event: Any, message: str) -> BadYaml:
        mark = event.start_mark
        path = self._stack[-1].path if self._stack else ()
        return BadYaml(message, mark.line + self._offset, mark.column + 1, path)

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._bad(event, f"the source has more than {MAX_NODES} values once its aliases are expanded")

    def _open(self, event: Any, is_map: bool) -> None:
        self._tag(event, "map" if is_map else "seq")
        self._count(event, 1)
        if len(self._stack) >= MAX_DEPTH:
            raise self._bad(event, f"nested more than {MAX_DEPTH} levels deep")
        path = self._child_path(event)
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        self._stack.append(_Open(path, {} if is_map else [], anchor, self._nodes - 1, is_map))

    def _tag(self, event: Any, wanted: str) -> None:
        if event.tag is not None and event.tag not in ("!", _TAG + wanted):
            raise self._bad(event, f"the tag {event.tag.replace(_TAG, '!!')} is not allowed; flows hold plain data")

    def _child_path(self, event: Any) -> Path:
        """Return the path of the value that begins here and note its position; refuses containers as keys."""
        mark = event.start_mark
        if not self._stack:
            self.marks[()] = (mark.line + self._offset, mark.column + 1)
            return ()
        top = self._stack[-1]
        if not top.is_map:
            path = (*top.path, len(top.value))
            self.marks[path] = (mark.line + self._offset, mark.column + 1)
            return path
        if top.key is None and not top.merging:
            raise self._bad(event, "a key must be a plain text")
        return (*top.path, "<<" if top.merging else top.key or "")

    def _close(self) -> None:
        done = self._stack.pop()
        if done.is_map:
            for merged in done.merges:
                for key, value in merged.items():
                    done.value.setdefault(key, value)
        if done.anchor is not None:
            self._anchors[done.anchor] = _Anchored(done.value, self._nodes - done.nodes_before, done.depth_below + 1)
        self._attach(done.value, done.depth_below + 1)

    def _attach(self, value: Any, depth: int, event: Any = None) -> None:
        if not self._stack:
            self.result = value
            return
        top = self._stack[-1]
        top.depth_below = max(top.depth_below, depth)
        if not top.is_map:
            top.value.append(value)
        elif top.merging:
            top.merging = False
            self._merge(top, value)
        else:
            assert top.key is not None
            top.value[top.key] = value
            top.key = None

    def _merge(self, top: _Open, value: Any) -> None:
        maps = value if isinstance(value, list) else [value]
        self._nodes += sum(len(one) for one in maps if isinstance(one, dict))
        line, column = self.marks.get((*top.path, "<<"), (self._offset, 1))
        if not all(isinstance(one, dict) for one in maps):
            raise BadYaml("`<<` merges a map or a list of maps", line, column, top.path)
        if self._nodes > MAX_NODES:
            message = f"the source has more than {MAX_NODES} values once its merges are expanded"
            raise BadYaml(message, line, column, top.path)
        top.merges.extend(maps)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._bad(event, f"*{event.anchor} names no anchor")
        target = self._anchors[event.anchor]
        if target is None:
            raise self._bad(event, f"*{event.anchor} stands inside the value that it names")
        self._count(event, target.nodes)
        if len(self._stack) + target.depth > MAX_DEPTH:
            raise self._bad(event, f"nested more than {MAX_DEPTH} levels deep once the alias is expanded")
        if self._stack and self._stack[-1].is_map and self._stack[-1].key is None and not self._stack[-1].merging:
            if not isinstance(target.value, str):
                raise self._bad(event, "a key must be a plain text")
            self._key(event, target.value)
            return
        self._child_path(event)
        self._attach(target.value, target.depth)

    def _scalar(self, event: Any) -> None:
        self._count(event, 1)
        top = self._stack[-1] if self._stack else None
        if top is not None and top.is_map and top.key is None and not top.merging:
            self._tag(event, "str")
            if event.value == "<<" and event.implicit[0] and not event.style:
                self.marks[(*top.path, "<<")] = (event.start_mark.line + self._offset, event.start_mark.column + 1)
                top.merging = True
                return
            self._key(event, event.value)
            if event.anchor is not None:
                self._anchors[event.anchor] = _Anchored(event.value, 1, 0)
            return
        value = self._value(event)
        path = self._child_path(event)
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            mark = event.start_mark
            self.texts[path] = ScalarMark(mark.line + self._offset, mark.column + 1, event.style or "")
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, 1, 0)
        self._attach(value, 0)

    def _key(self, event: Any, key: str) -> None:
        top = self._stack[-1]
        path = (*top.path, key)
        here = (event.start_mark.line + self._offset, event.start_mark.column + 1)
        if key in top.value:
            message = f"Duplicate field '{key}': it is already set in line {self.marks[path][0]}"
            self.duplicates.append(BadYaml(message, *here, path))
        self.marks[path] = here
        top.value[key] = None  # keeps the order of the file, and is what a duplicate is found by
        top.key = key

    def _value(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None and (event.style or not event.implicit[0]):
            return text
        if event.tag is not None:
            return self._tagged(event, text)
        if text and text[0] not in _TYPED_START:
            return text
        return self._plain(event, text)

    def _tagged(self, event: Any, text: str) -> Any:
        """A redundant standard tag is harmless; every other tag is refused."""
        if event.tag in ("!", _TAG + "str"):
            return text
        if event.style or event.tag not in {_TAG + name for name in ("int", "float", "bool", "null")}:
            raise self._bad(event, f"the tag {event.tag.replace(_TAG, '!!')} is not allowed; flows hold plain data")
        value = self._plain(event, text)
        if isinstance(value, str):
            raise self._bad(event, f"`{text[:40]}` is not a {event.tag.removeprefix(_TAG)}")
        return value

    def _plain(self, event: Any, text: str) -> Any:
        """Resolve a plain scalar by the core schema of YAML 1.2."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            return self._integer(event, int(text) if len(text) < 25 else _INTEGERS.stop, text)
        if _OCTAL.fullmatch(text):
            return self._integer(event, int(text, 0) if len(text) < 25 else _INTEGERS.stop, text)
        if _HEX.fullmatch(text):
            return self._integer(event, int(text, 0) if len(text) < 25 else _INTEGERS.stop, text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number - number == 0:
                return number
            raise self._bad(event, f"`{text[:40]}` is too large for a number; put it in quotes to keep it as text")
        if _NOT_FINITE.fullmatch(text):
            raise self._bad(event, f"`{text}` has no JSON form; put it in quotes to keep it as text")
        return text

    def _integer(self, event: Any, number: int, text: str) -> int:
        if number not in _INTEGERS:
            raise self._bad(event, f"`{text[:40]}` is too large for a number; put it in quotes to keep it as text")
        return number
