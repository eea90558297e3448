"""The worker gateway: who may come in, and how far a task reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from gateways import served

from levada.bus.port import COMMANDS
from levada.files.errors import BadPath
from levada.model import commands
from levada.model import jobs as jobs_model
from levada.model.commands import TaskFinished
from levada.model.errors import Transient, UserError
from levada.model.jobs import Claim, Held, Job, JobTask, LogEntry
from levada.model.states import State
from levada.runtime import wire
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded
from levada.runtime.config.tree import Auth, BasicAuth, Worker
from levada.runtime.platform import Platform
from levada.store.memory.tables import Lease as Row
from levada_worker.gateway.connection import Gateways
from levada_worker.gateway.files import HttpFiles
from levada_worker.gateway.jobs import Claims, HttpJobs
from levada_worker.gateway.services import HttpServices
from levada_worker.gateway.sink import HttpSink

TOKEN = "token-of-the-workers"
LOCKED = BasicAuth(username="admin", password="Password1")


class Clock(SystemClock):
    """A clock that tests put forward."""

    __slots__ = ("ahead_s",)

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_us(self) -> int:
        return super().now_us() + int(self.ahead_s * 1_000_000)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class End:
    """A gateway over a platform in memory, and a worker's end of it."""

    def __init__(self, platform: Platform, url: str, clock: Clock) -> None:
        self.platform = platform
        self.url = url
        self.clock = clock
        self.gateways = Gateways([url], TOKEN, clock, worker="w1")
        self.claims = Claims()
        self.jobs = HttpJobs(self.gateways, self.claims)

    def submit(self, run: str = "t1", execution: str = "e1", **fields: Any) -> None:
        job = Job(
            execution_id=execution,
            task_run_id=run,
            attempt=1,
            namespace=fields.pop("namespace", "company.team"),
            flow_id="hello",
            flow_revision=1,
            task=JobTask(id="t", type="core.test"),
            **fields,
        )
        leases = self.platform.jobs._leases  # type: ignore[attr-defined]
        leases[execution, run] = Row("submitted", jobs_model.encode(job), job.queue, 0, 1, 0)

    async def claimed(self, run: str = "t1", **fields: Any) -> Held:
        self.submit(run, **fields)
        (claim,) = await self.jobs.claim("w1", ["default"], 1, timeout_s=0)
        return held(claim)

    def services(self, claim: Held) -> HttpServices:
        return HttpServices(self.gateways, claim, HttpFiles(self.gateways, claim))


def held(claim: Claim) -> Held:
    return Held(claim.job.execution_id, claim.job.task_run_id, claim.job.attempt, claim.token)


@asynccontextmanager
async def opened(secrets: dict[str, str] | None = None, **config: Any) -> AsyncIterator[End]:
    settings = Config(worker=Worker(token=TOKEN, lease=10), **config)
    loaded = Loaded(
        config=settings, sources={}, secrets=secrets or {"PASSWORD": "hunter2"}, envs={}, encryption_key=None
    )
    clock = Clock()
    platform = Platform.in_memory(clock, loaded)
    server = await served(platform)
    end = End(platform, server.url, clock)
    try:
        yield end
    finally:
        await end.gateways.close()
        await server.close()
        await platform.close()


@pytest.fixture
async def end() -> AsyncIterator[End]:
    async with opened() as made:
        yield made


async def answer(url: str, headers: dict[str, str], path: str = "/renew") -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session:
        body = b'{"worker": "w", "held": []}'
        async with session.post(f"{url}{wire.PREFIX}{path}", data=body, headers=headers) as response:
            return response.status, await response.json() if response.content_length else {}


class TestTheWorkersToken:
    async def test_opens_the_gateway_and_nothing_else_does(self, end: End) -> None:
        status, _ = await answer(end.url, {"Authorization": f"Bearer {TOKEN}"})
        assert status == 200
        for given, why in (
            ({}, "wants the workers' token"),
            ({"Authorization": "Bearer guessed"}, "wrong token"),
            ({"Authorization": "Bearer "}, "wrong token"),
            ({"Authorization": f"Basic {TOKEN}"}, "wrong token"),
        ):
            status, body = await answer(end.url, given)
            assert (status, body["family"]) == (401, "transient")
            assert why in body["message"]
            assert "LEVADA_WORKER_TOKEN" in body["message"]

    async def test_every_route_of_the_gateway_wants_it(self, end: End) -> None:
        from levada_api.routing import WORKER_GATEWAY

        async with aiohttp.ClientSession() as session:
            for method, template in sorted(WORKER_GATEWAY):
                async with session.request(method, end.url + template.replace("{operation}", "kv.get")) as response:
                    assert response.status == 401, template

    async def test_the_account_of_a_person_does_not_open_it_nor_it_the_api(self) -> None:
        async with opened(auth=Auth(mode="basic"), basic_auth=LOCKED) as end, aiohttp.ClientSession() as session:
            admin = {"Authorization": aiohttp.encode_basic_auth("admin", "Password1")}
            async with session.post(f"{end.url}{wire.PREFIX}/renew", headers=admin) as response:
                assert response.status == 401
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with session.get(f"{end.url}/api/v1/main/flows/search", headers=headers) as response:
                assert response.status == 401
            assert (await answer(end.url, headers))[0] == 200

    async def test_without_one_configured_only_this_machine_comes_in_and_only_where_nobody_signs_in(self) -> None:
        clock = SystemClock()
        for config, headers, expected in (
            (Config(), {}, 200),
            (Config(), {"Host": "levada.example.com"}, 401),
            (Config(), {"Origin": "http://localhost"}, 401),
            (Config(basic_auth=LOCKED), {}, 401),
        ):
            platform = Platform.in_memory(clock, config)
            server = await served(platform)
            assert (await answer(server.url, headers))[0] == expected
            await server.close()
            await platform.close()


class TestTheClaimOfAnAttempt:
    async def test_opens_what_its_task_may_use(self, end: End) -> None:
        services = end.services(await end.claimed())
        await services.kv.put("company.team", "k", {"deep": [1, None]}, description="d", ttl_us=10**9)
        entry = await services.kv.get("company.team", "k")
        assert entry is not None
        assert (entry.type, entry.value, entry.description) == ("JSON", {"deep": [1, None]}, "d")
        assert await services.kv.keys("company.team", "k") == ["k"]
        assert [one.key for one in await services.kv.entries("company.team")] == ["k"]
        with pytest.raises(UserError, match="exists already"):
            await services.kv.put("company.team", "k", 1, overwrite=False)
        assert await services.kv.delete("company.team", "k")
        assert await services.kv.get("company.team", "k") is None
        assert await services.secrets.get("company.team", "PASSWORD") == "hunter2"
        assert await services.secrets.get("company", "PASSWORD") == "hunter2"
        assert await services.secrets.get("company.team", "OTHER") is None
        await services.namespace_files.put("company.team", "a/b.txt", b"x")
        assert await services.namespace_files.list("company.team") == ["a/b.txt"]
        assert await services.namespace_files.read("company.team", "a/b.txt") == b"x"
        assert await services.namespace_files.delete("company.team", "a/b.txt")
        assert await services.control.call("namespaces.list", {}) == ["company.team"]
        with pytest.raises(UserError, match="there is no operation `nothing`"):
            await services.control.call("nothing", {})

    async def test_does_not_reach_secrets_of_other_namespaces(self, end: End) -> None:
        services = end.services(await end.claimed())
        for foreign in ("company.other", "company.team.below", "compan", "other"):
            with pytest.raises(UserError, match="may not read secrets"):
                await services.secrets.get(foreign, "PASSWORD")

    async def test_writes_only_below_its_own_execution(self, end: End) -> None:
        files = HttpFiles(end.gateways, await end.claimed())
        own = "kestra:///company/team/hello/executions/e1/tasks/t/t1/out.txt"
        await files.put(own, b"mine")
        await files.put("kestra:///company/team/hello/t/cache/results/x", b"cached")
        await end.platform.files.put("kestra:///company/other/hello/executions/e2/in.txt", b"theirs")
        assert await files.read("kestra:///company/other/hello/executions/e2/in.txt") == b"theirs"
        for foreign in (
            "kestra:///company/team/hello/executions/e2/in.txt",
            "kestra:///company/team/other/executions/e1/in.txt",
            "kestra:///company/other/hello/executions/e2/in.txt",
            "kestra:///elsewhere",
        ):
            with pytest.raises(BadPath, match="may not write"):
                await files.put(foreign, b"")
        with pytest.raises(BadPath, match="may not delete"):
            await files.delete("kestra:///company/other/hello/executions/e2/in.txt")
        with pytest.raises(BadPath, match="may not move"):
            await files.move("kestra:///company/other/hello/executions/e2/in.txt", own)
        assert await files.delete(own)

    @pytest.mark.parametrize(
        "forged",
        [
            Held("e1", "t1", 1, "guessed"),
            Held("e1", "t2", 1, "guessed"),
            Held("e1", "t1", 2, "guessed"),
        ],
    )
    async def test_cannot_be_guessed(self, end: End, forged: Held) -> None:
        await end.claimed()
        with pytest.raises(wire.Forbidden, match="opens nothing"):
            await end.services(forged).kv.get("company.team", "k")

    async def test_is_needed(self, end: End) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status, body = await answer(end.url, headers, "/task/kv.get")
        assert (status, body["kind"]) == (403, "Forbidden")
        for wrong in ("", "e1/t1/one/x", "e1/t1/1", "e1"):
            status, body = await answer(end.url, {**headers, wire.ATTEMPT_HEADER: wrong}, "/task/kv.get")
            assert status == 403

    async def test_is_good_as_long_as_the_lease_and_a_moment_more(self, end: End) -> None:
        services = end.services(await end.claimed())
        end.clock.ahead_s = 12.0
        assert await services.kv.get("company.team", "k") is None
        end.clock.ahead_s = 16.0
        with pytest.raises(wire.Forbidden, match="ran out"):
            await services.kv.get("company.team", "k")

    async def test_is_good_for_nothing_when_the_attempt_is_over(self, end: End) -> None:
        claim = await end.claimed()
        services = end.services(claim)
        await services.kv.get("company.team", "k")
        del end.platform.jobs._leases["e1", "t1"]  # type: ignore[attr-defined]
        end.clock.ahead_s = 4.0
        with pytest.raises(wire.Forbidden, match="opens nothing"):
            await services.kv.get("company.team", "k")
        with pytest.raises(wire.Forbidden):
            await HttpFiles(end.gateways, claim).read("kestra:///company/team/hello/executions/e1/x")


class TestLines:
    async def test_go_to_the_sink_also_after_the_attempt_ended(self, end: End) -> None:
        await end.claimed()
        del end.platform.jobs._leases["e1", "t1"]  # type: ignore[attr-defined]
        await HttpSink(end.gateways, end.claims).write_logs([line("e1", "hello")])
        assert [one.message for one in await stored(end)] == ["hello"]

    async def test_of_other_executions_are_dropped(self, end: End, caplog: pytest.LogCaptureFixture) -> None:
        claim = await end.claimed()
        forged = [line("e1", "mine"), line("e2", "theirs"), line("e1", "elsewhere", namespace="other")]
        batches = [
            wire.Lines(held=claim, logs=forged),
            wire.Lines(held=Held("e3", "x", 1, "y"), logs=[line("e3", "?")]),
        ]
        await end.gateways.ask("/lines", batches, None)
        assert [one.message for one in await stored(end)] == ["mine"]
        assert "3 log lines or metrics of workers are dropped" in caplog.text

    async def test_of_executions_that_were_never_claimed_stay_here(
        self, end: End, caplog: pytest.LogCaptureFixture
    ) -> None:
        await HttpSink(end.gateways, end.claims).write_logs([line("e1", "hello")])
        assert "knows no claim" in caplog.text
        assert await stored(end) == []


async def stored(end: End) -> list[LogEntry]:
    from levada.store.port import LogFilter

    return list(await end.platform.logs.read("main", LogFilter()))


def line(execution: str, message: str, *, namespace: str = "company.team") -> LogEntry:
    return LogEntry(
        execution_id=execution, namespace=namespace, flow_id="hello", level="INFO", message=message, at=1_000_000
    )


class TestAWorkerThatIsGone:
    async def test_gets_nothing_any_more(self, end: End) -> None:
        body = wire.encode(wire.ClaimWanted(worker="gone", queues=["default"], limit=5, timeout_s=30))
        host, port = end.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {wire.PREFIX}/claim HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.3)
        end.submit()
        end.platform.notify_jobs()
        await asyncio.sleep(0.1)
        (claim,) = await end.jobs.claim("w1", ["default"], 1, timeout_s=1)
        assert claim.job.task_run_id == "t1"
        assert not await self.given_back(end)

    async def test_before_its_answer_is_written_gives_back_what_is_in_it(
        self, end: End, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from levada_api.gateway import work

        monkeypatch.setattr(work, "gone", lambda request: True)
        claim = await end.claimed()
        (released,) = await self.given_back(end)
        assert (released.task_run_id, released.attempt, released.token) == ("t1", 1, claim.token)

    async def given_back(self, end: End) -> list[TaskFinished]:
        positions = dict.fromkeys(range(end.platform.bus.partitions), 0)
        records = await end.platform.bus.poll(COMMANDS, positions, max_records=100, max_bytes=1 << 20, timeout_s=0)
        found = [commands.decode(record.body) for record in records]
        return [one for one in found if isinstance(one, TaskFinished) and one.released]


class TestErrors:
    async def test_keep_their_family(self, end: End) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession() as session:
            for body, status, family in ((b"{", 422, "user"), (b'{"worker": 1}', 422, "user")):
                async with session.post(f"{end.url}{wire.PREFIX}/claim", data=body, headers=headers) as response:
                    assert (response.status, (await response.json())["family"]) == (status, family)

    async def test_a_store_that_is_away_is_transient_and_so_is_a_defect_of_the_gateway(self, end: End) -> None:
        async def away(*_: Any) -> Any:
            raise Transient("the database is away")

        async def broken(*_: Any) -> Any:
            raise KeyError("x")

        end.platform.members.beat = away  # type: ignore[method-assign]
        with pytest.raises(Transient, match="the database is away"):
            await end.gateways.ask("/hello", wire.Hello(worker="w"), wire.Welcome)
        end.platform.members.beat = broken  # type: ignore[method-assign]
        with pytest.raises(Transient, match=r"the gateway failed: KeyError in the gateway, error id"):
            await end.gateways.ask("/hello", wire.Hello(worker="w"), wire.Welcome)

    async def test_large_results_travel_in_several_requests(self, end: End) -> None:
        claim = await end.claimed()
        results = [
            TaskFinished(
                execution_id="e1",
                task_run_id="t1",
                attempt=1,
                token=claim.token,
                state=State.SUCCESS,
                at=1,
                outputs={"x": "y" * 3_000_000},
            )
            for _ in range(5)
        ]
        await end.jobs.report(results)
        positions = dict.fromkeys(range(end.platform.bus.partitions), 0)
        found = await end.platform.bus.poll(COMMANDS, positions, max_records=100, max_bytes=1 << 30, timeout_s=0)
        assert len([one for one in found if b"task_finished" in one.body[:200]]) == 5


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_file_that_cannot_be_read_to_its_end_is_read_on_and_never_taken_for_the_whole(
    end: End, breaks: bool
) -> None:
    uri = "kestra:///company/team/hello/executions/e1/tasks/t/t1/out.txt"
    files = HttpFiles(end.gateways, await end.claimed())
    await files.put(uri, b"0123456789")
    whole = end.platform.files.get
    asked: list[int] = []

    async def short(uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        asked.append(offset)
        async for chunk in whole(uri, offset=offset, length=4):
            yield chunk
        if breaks and offset < 8:
            raise OSError("the disk went away")

    end.platform.files.get = short  # type: ignore[method-assign]
    assert await files.read(uri) == b"0123456789"
    assert asked == [0, 4, 8]


async def test_a_worker_says_hello_and_goodbye(end: End) -> None:
    welcome = await end.gateways.ask("/hello", wire.Hello(worker="w1", info={"slots": 3}), wire.Welcome)
    assert welcome.lease_s == 10
    (member,) = await end.platform.members.all("worker")
    assert (member.name, member.live, member.info) == ("w1", True, {"slots": 3})
    await end.gateways.ask("/goodbye", wire.Hello(worker="w1"), None)
    assert not any(one.live for one in await end.platform.members.all("worker"))
