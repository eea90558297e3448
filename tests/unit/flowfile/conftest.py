from collections.abc import Callable

import pytest

from levada.flowfile import InvalidFlow, ParsedFlow, parse
from levada.plugins.core import condition, debug, execution, flow, log, output, state, trigger
from levada.sdk import Registry

Parse = Callable[..., ParsedFlow]
FAMILIES = (condition, debug, execution, flow, log, output, state, trigger)
HEAD = "id: a\nnamespace: company.team\n"


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The core types only, so that a broken connector breaks no test of the reader."""
    return Registry([one for family in FAMILIES for one in family.TASKS], known=["aws.s3.Upload"])


@pytest.fixture
def read(registry: Registry) -> Parse:
    """Parse the rest of a flow, behind two lines with id and namespace."""
    return lambda rest, **options: parse(HEAD + rest, registry, **options)


@pytest.fixture
def problems(registry: Registry) -> Callable[..., list[str]]:
    """The problems of the rest of a flow as `line:column path: message`."""

    def found(rest: str, **options: bool) -> list[str]:
        with pytest.raises(InvalidFlow) as caught:
            parse(HEAD + rest, registry, **options)
        return [problem.text() for problem in caught.value.problems]

    return found
