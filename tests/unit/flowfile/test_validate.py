from levada.flowfile import judge
from levada.flowfile.documents import Piece, split

GOOD = "id: one\nnamespace: b\ntasks:\n  - {id: t, type: core.log.Log, message: strange---string}\n"


def test_documents_are_divided_by_lines_of_dashes_only() -> None:
    text = "---\n# head\n---\n" + GOOD + "--- # next\n" + GOOD + "---strange\n"
    first, second = split(text)
    assert first == Piece(GOOD, 3)
    assert second == Piece(GOOD + "---strange\n", 8)
    assert split(GOOD) == [Piece(GOOD, 0)]
    assert split("") == [Piece("", 0)]
    assert split(GOOD.replace("\n", "\r\n") + "---\r\n" + GOOD)[1] == Piece(GOOD, 5)


def test_each_document_gets_its_verdict_with_lines_of_the_whole_text(registry) -> None:
    text = GOOD + "---\n" + GOOD.replace("core.log.Log", "core.log.Lag") + "---\nid: [\n"
    good, bad, broken = judge(text, registry)
    assert (good.index, good.flow, good.constraints) == (0, "one", None)
    assert good.parsed is not None
    assert (bad.index, bad.flow, bad.namespace) == (1, "one", "b")
    assert bad.constraints is not None
    assert bad.constraints.startswith("tasks[0].type: Invalid type: core.log.Lag")
    assert [problem.line for problem in bad.problems] == [9]
    assert broken.flow is None
    assert broken.problems[0].line == 12


def test_the_answer_has_no_nulls_and_lists_only_for_what_could_be_read(registry) -> None:
    good, broken = judge(GOOD + "---\nid: [\n", registry)
    assert good.answer() == {
        "index": 0,
        "outdated": False,
        "flow": "one",
        "namespace": "b",
        "deprecationPaths": [],
        "warnings": [],
        "infos": [],
    }
    assert set(broken.answer()) == {"index", "outdated", "constraints"}


def test_a_source_that_does_not_follow_the_last_revision_is_outdated(registry) -> None:
    last = {("b", "one"): 1}

    def outdated(source: str) -> bool:
        return judge(source, registry, last=lambda *name: last.get(name))[0].outdated

    assert outdated(GOOD)
    assert not outdated("revision: 2\n" + GOOD)
    assert outdated("revision: 3\n" + GOOD)
    assert not outdated(GOOD.replace("one", "two"))


def test_an_empty_text_is_one_verdict(registry) -> None:
    (verdict,) = judge("", registry)
    assert verdict.constraints == "a flow is a map with id, namespace and tasks, but this is empty"
