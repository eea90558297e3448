"""What can be said by code is said by code, and the pages agree with it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from levada import flowfile, plugins

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["cli.md", "configuration.md", "api.md", "expressions.md", "tasks.md", "states.md", "metrics.md"]
)
def test_generated_pages_are_up_to_date(name: str) -> None:
    pages = {path.name: (path, text) for path, text in generator().pages().items()}
    path, text = pages[name]
    assert path.read_text() == text, "run `python docs/generate.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda page: page.name)
def test_decisions_are_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 30


def flows() -> list[tuple[str, str]]:
    """Return the flows that pages show: (page and position, source)."""
    found = []
    for page in PAGES:
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            found += [
                (f"{page.relative_to(ROOT)}-{number}", source)
                for source in re.split(r"^---$", block, flags=re.MULTILINE)
                if re.search(r"^namespace:", source, re.MULTILINE)
            ]
    return found


@pytest.mark.parametrize(("place", "source"), flows(), ids=[place for place, _ in flows()])
def test_the_flows_that_pages_show_are_valid(place: str, source: str) -> None:
    flowfile.parse(source, plugins.discover())
