"""Starting, stopping, and what may go wrong with either."""

from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from product import ROOT, eventually, levada, url_of

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(240)]

SLEEPING = """\
id: sleeping
namespace: e2e
tasks:
  - id: nap
    type: scripts.shell.Commands
    commands:
      - echo napping
      - sleep 300
"""
HELLO = """\
id: hello
namespace: e2e
tasks:
  - id: say
    type: core.log.Log
    message: hello
"""


def get(url: str, user: str | None = None) -> int:
    request = urllib.request.Request(url)
    if user:
        import base64

        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_second_start_finds_the_history_of_the_first(start, tmp_path: Path) -> None:
    (tmp_path / "hello.yml").write_text(HELLO)
    first = start("dev", "--port", "0")
    first.wait_for("Ctrl-C stops it")
    assert levada("run", "hello.yml", cwd=tmp_path)[0] == 0
    assert first.end() == 0, first.lines
    assert not (tmp_path / ".levada" / "server.json").exists()
    second = start("standalone", "--port", "0")
    second.wait_for("Ctrl-C stops it")
    found = json.loads(levada("executions", "list", "-o", "json", cwd=tmp_path)[1])
    assert [one["flowId"] for one in found["results"]] == ["hello"]
    assert second.end(signal.SIGTERM) == 0


def test_a_data_folder_has_one_owner_who_is_named(start, tmp_path: Path) -> None:
    owner = start("dev", "--port", "0")
    owner.wait_for("Ctrl-C stops it")
    code, _, err = levada("dev", "--port", "0", cwd=tmp_path)
    assert code == 3
    assert str(owner.pid) in err


def test_a_taken_port_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = levada("dev", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert code == 3
    assert "--port" in err
    assert not (tmp_path / ".levada").exists()


def test_a_data_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = levada("dev", "--port", "0", "--data-dir", "file/data", cwd=tmp_path)
    assert code == 3
    assert len(err.splitlines()) == 1


def test_wrong_settings_are_all_named_and_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "levada.yml").write_text("port: many\nworker:\n  slot: 3\n")
    code, _, err = levada("standalone", cwd=tmp_path, env={"LEVADA_HSOT": "x"})
    assert code == 2
    for word in ("levada.yml:1", "levada.yml:3", "worker.slots", "LEVADA_HSOT"):
        assert word in err


def test_with_an_account_every_request_must_sign_in(start, tmp_path: Path) -> None:
    account = {"LEVADA_BASIC_AUTH_USERNAME": "ada", "LEVADA_BASIC_AUTH_PASSWORD": "s3cret!"}
    server = start("standalone", "--port", "0", env=account)
    server.wait_for("Ctrl-C stops it")
    url = url_of(tmp_path)
    assert get(f"{url}/health") == 200
    assert get(f"{url}/api/v1/main/flows/search") == 401
    assert get(f"{url}/api/v1/main/flows/search", "ada:wrong") == 401
    assert get(f"{url}/api/v1/main/flows/search", "ada:s3cret!") == 200
    code, _, err = levada("flows", "list", cwd=tmp_path)
    assert code == 3
    assert "LEVADA_BASIC_AUTH_PASSWORD" in err
    assert levada("flows", "list", cwd=tmp_path, env=account)[0] == 0


def test_without_an_account_only_loopback_is_listened_on_and_said(start, tmp_path: Path) -> None:
    server = start("standalone", "--port", "0", "--host", "0.0.0.0")
    server.wait_for("Ctrl-C stops it")
    server.wait_for("loopback only")
    assert url_of(tmp_path).startswith("http://127.0.0.1:")
    server.wait_for("127.0.0.1 instead of 0.0.0.0")


def test_a_saved_file_is_live_and_a_wrong_one_told(start, tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    (flows / "team").mkdir(parents=True)
    (flows / "hello.yml").write_text(HELLO)
    server = start("dev", "--port", "0", "--flows", "flows")
    server.wait_for("Ctrl-C stops it")
    server.wait_for("1 live")
    (flows / "team" / "sleeping.yaml").write_text(SLEEPING)
    server.wait_for("deployed e2e.sleeping revision 1")
    (flows / "hello.yml").write_text(HELLO.replace("message", "mesage"))
    server.wait_for("hello.yml:6:")
    (flows / "hello.yml").write_text(HELLO.replace("hello\n", "hello again\n"))
    server.wait_for("revision")
    (flows / "hello.yml").unlink()
    server.wait_for("the server keeps it")
    assert server.end() == 0


def test_run_without_a_server_brings_its_own(tmp_path: Path) -> None:
    (tmp_path / "hello.yml").write_text(HELLO)
    code, out, err = levada("run", "hello.yml", cwd=tmp_path)
    assert code == 0, err
    assert "SUCCESS" in out
    assert not (tmp_path / ".levada" / "server.json").exists()


def test_ctrl_c_kills_the_execution_and_what_it_started(start, tmp_path: Path) -> None:
    (tmp_path / "sleeping.yml").write_text(SLEEPING.replace("sleep 300", "sleep 31416"))
    run = start("run", "sleeping.yml")
    run.wait_for("napping")
    assert run.end() == 130, run.lines
    run.wait_for("killing")
    eventually(lambda: not _running("sleep 31416"))


def test_make_run_plays_the_pipeline_and_the_second_time_finds_it(start, tmp_path: Path) -> None:
    for history in ("none yet", "1 execution"):
        run = start(program=[sys.executable, str(ROOT / "examples" / "run.py")], env={"LEVADA_PORT": "0"})
        run.wait_for(history)
        run.wait_for("stays up", 150)
        run.wait_for("ExpressJet")
        assert any("SUCCESS" in line for line in run.lines), run.lines
        assert run.end() == 0, run.lines
    assert not _running(str(tmp_path))


def _running(text: str) -> bool:
    """Whether a process with this text in its command line is left."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            return True
    return False
