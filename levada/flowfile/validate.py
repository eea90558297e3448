"""Judging flow sources without saving them: what `POST /flows/validate` and a checking editor need.

One verdict per document of the source, in order. A verdict has everything Kestra's answer has; its `answer` is that JSON,
with nothing in it that is null. Nothing here reads a store: the caller says which revisions exist.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from levada.flowfile import documents
from levada.flowfile.loader import BadYaml, load
from levada.flowfile.parser import ParsedFlow, parse
from levada.flowfile.problems import InvalidFlow, Problem
from levada.sdk import Registry

#: (namespace, id) -> last saved revision, None if there is no such flow.
LastRevision = Callable[[str, str], int | None]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said about one document. `constraints` is None when the flow is valid."""

    index: int
    flow: str | None = None
    namespace: str | None = None
    constraints: str | None = None
    outdated: bool = False
    deprecation_paths: list[str] = []
    warnings: list[str] = []
    infos: list[str] = []
    problems: list[Problem] = []
    parsed: ParsedFlow | None = None

    def answer(self) -> dict[str, Any]:
        """Return the JSON of Kestra's API: no nulls, and the lists only for what could be read."""
        out: dict[str, Any] = {"index": self.index, "outdated": self.outdated}
        out.update({name: value for name, value in (("flow", self.flow), ("namespace", self.namespace)) if value})
        if self.constraints is not None:
            out["constraints"] = self.constraints
        else:
            out.update(deprecationPaths=self.deprecation_paths, warnings=self.warnings, infos=self.infos)
        return out


def judge(
    text: str, registry: Registry, *, tenant: str = "main", strict: bool = False, last: LastRevision = lambda *_: None
) -> list[Verdict]:
    """Return one verdict per document of `text`. Never raises; positions count in the whole text."""
    return [
        _judge_one(index, piece, registry, tenant, strict, last) for index, piece in enumerate(documents.split(text))
    ]


def _judge_one(
    index: int, piece: documents.Piece, registry: Registry, tenant: str, strict: bool, last: LastRevision
) -> Verdict:
    flow, namespace, revision = _named(piece)
    known = last(namespace, flow) if flow and namespace else None
    outdated = known is not None and revision != known + 1
    try:
        parsed = parse(piece.source, registry, tenant=tenant, strict=strict, line_offset=piece.line_offset)
    except InvalidFlow as invalid:
        return Verdict(
            index=index,
            flow=flow,
            namespace=namespace,
            outdated=outdated,
            constraints="\n".join(problem.described() for problem in invalid.problems),
            problems=invalid.problems,
        )
    return Verdict(
        index=index,
        flow=flow,
        namespace=namespace,
        outdated=outdated,
        deprecation_paths=parsed.deprecations,
        warnings=parsed.warnings,
        infos=parsed.infos,
        parsed=parsed,
    )


def _named(piece: documents.Piece) -> tuple[str | None, str | None, int]:
    """Return id, namespace and revision as far as the document can be read; a source without revision counts as 1."""
    try:
        data = load(piece.source).data
    except BadYaml:
        return None, None, 1
    if not isinstance(data, dict):
        return None, None, 1
    flow, namespace, revision = data.get("id"), data.get("namespace"), data.get("revision")
    return (
        flow if isinstance(flow, str) else None,
        namespace if isinstance(namespace, str) else None,
        revision if isinstance(revision, int) else 1,
    )
