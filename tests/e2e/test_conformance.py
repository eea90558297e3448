"""A fixed part of the conformance cases that must pass, played over HTTP against a started server.

Skipped where the cases are absent (they are not part of the repository). `make conformance` plays all of them.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REQUIRED = (
    r"^(sequential.*|parallel.*|dag|full|if-.*|switch-.*|foreach-.*|each-(empty|parallel|sequential|switch|parallel-nested)"
    r"|retry-(success|fail|expo|flowable|failed-flow-attempts)|pause-(on-resume.*|no-tasks|run)|subflow-.*|restart-.*"
    r"|replay-parallel|allow-failure-.*|task-runif|task-allow-(failure|warning)-runnable|flow-outputs|labels-.*|disable-error"
    r"|webhook-(get|post-json|put-list|post-text|secret-key)|concurrency-cancel|working-directory-(each|input-files|taskrun)"
    r"|for-each-item-outputs|api-(resume|kill-paused|inputs-small-file|set-labels|restart-with-pause)|timeout-inline"
    r"|expr-(?!152$).*)$"
)


def _load() -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "conformance.py"
    spec = importlib.util.spec_from_file_location("levada_conformance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


conformance = _load()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not (conformance.folder() / "run.py").is_file(), reason="the conformance cases are not here")
def test_the_required_cases_pass(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        str(Path(conformance.__file__)),
        "--port",
        "0",
        "--server-log",
        str(tmp_path / "server.log"),
    ]
    command += [
        "--group",
        "execution",
        "--group",
        "expressions",
        "--id",
        REQUIRED,
        "--json",
        str(report),
        "--jobs",
        "6",
    ]
    played = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert report.is_file(), played.stdout[-3000:] + played.stderr[-3000:]
    results = json.loads(report.read_text())["results"]
    failed = [f"{result['id']}: {result['reason']}" for result in results if result["status"] == "fail"]
    passed = [result for result in results if result["status"] == "pass"]
    assert not failed, "\n".join(failed)
    assert len(passed) >= 180, f"only {len(passed)} cases were played"
