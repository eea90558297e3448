"""The registry of all types: found by walking the folder, checked when it is built."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import msgspec
import pytest

from levada import plugins
from levada.model.errors import Defect, UserError
from levada.sdk import FlowableTask, InlineTask, Registry, Task, Trigger


def test_a_type_is_found_by_its_three_spellings() -> None:
    registry = plugins.discover()
    log = registry.task("core.log.Log")
    assert log is not None
    assert registry.task("io.kestra.plugin.core.log.Log") is log
    assert registry.task("io.kestra.core.tasks.log.Log") is log
    assert registry.find("core.log.Lag") is None
    assert "core.log.Log" in registry.nearest("core.log.Lag")


def test_kinds_are_told_apart() -> None:
    registry = plugins.discover()
    assert registry.trigger("core.trigger.Schedule") is not None
    assert registry.task("core.trigger.Schedule") is None
    assert registry.condition("core.condition.DayWeek") is not None


def test_every_runnable_task_has_a_worker_part() -> None:
    for declared in plugins.discover().all():
        if issubclass(declared, Task) and not issubclass(declared, FlowableTask | InlineTask):
            assert declared.run is not Task.run, declared.TYPE


def test_every_type_says_what_it_is_and_has_camel_case_properties() -> None:
    for declared in plugins.discover().all():
        assert declared.__doc__, declared.TYPE
        shape = msgspec.inspect.type_info(declared)
        assert isinstance(shape, msgspec.inspect.StructType)
        for field in shape.fields:
            assert "_" not in field.encode_name, f"{declared.TYPE}.{field.encode_name}"


def test_special_properties_exist() -> None:
    for declared in plugins.discover().all():
        names = set(declared.__struct_encode_fields__)
        raw: frozenset[str] = getattr(declared, "RAW", frozenset())
        old: frozenset[str] = getattr(declared, "DEPRECATED_PROPERTIES", frozenset())
        branches = set(getattr(declared, "BRANCHES", ()))
        if declared.TYPE.startswith(("core.", "jdbc.")):  # the script families inherit theirs
            assert raw <= names, declared.TYPE
        assert old <= names | branches, declared.TYPE
        assert set(getattr(declared, "REQUIRED", ())) <= branches, declared.TYPE


def test_the_registry_is_built_once() -> None:
    assert plugins.discover() is plugins.discover()


def test_two_types_cannot_claim_one_name() -> None:
    class One(Trigger):
        TYPE = "x.One"

    class Two(Trigger):
        TYPE = "x.Two"
        ALIASES = ("io.kestra.plugin.x.One",)

    with pytest.raises(Defect, match=r"both claim x\.One"):
        Registry([One, Two])


class Foreign(Task):
    TYPE = "foreign.Task"


FOREIGN = [Foreign]
BROKEN = [1]


def test_other_distributions_add_types(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: dict[str, Any] = {"good": FOREIGN, "bad": BROKEN}

    def entry_points(group: str) -> list[metadata.EntryPoint]:
        assert group == plugins.GROUP
        return [FakeEntry(name, "somewhere", group) for name in entries]

    class FakeEntry(metadata.EntryPoint):
        def load(self) -> Any:
            return entries[self.name]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    with pytest.raises(UserError, match="plugin bad"):
        list(plugins.installed())
    del entries["bad"]
    assert list(plugins.installed()) == [Foreign]
