"""`levada topics`: the Kafka topics of this installation, as they should be and as they are.

`plan` shows what `apply` would do, `apply` does it, `check` fails while anything differs. All three read the same settings as
the services (kafka.…, bus.partitions, limits.message), so whoever deploys runs `levada topics apply` with the services'
configuration and no other list of topics exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from levada.cli import screen
from levada.cli.connection import output_option
from levada.cli.failures import BadUsage, CheckFailed, Silent
from levada.cli.settings import config_option, load
from levada.runtime.config import Config

if TYPE_CHECKING:  # aiokafka is imported only by those who use it
    from levada.bus.kafka.topics import Difference, Topic, Topics


T = TypeVar("T")


@click.group()
def topics() -> None:
    """Plan, make and check the Kafka topics of this installation."""


@topics.command()
@config_option
@output_option
def plan(output: str, config: Path | None) -> None:
    """Show what is missing or different; change nothing."""
    differences = _with_cluster(config, lambda cluster, should_be: cluster.plan(should_be))
    _print(differences, output, nothing="all topics are as they should be")


@topics.command()
@config_option
@output_option
def apply(output: str, config: Path | None) -> None:
    """Make missing topics and change settings that differ; exit code 1 when something else differs."""

    async def work(cluster: Topics, should_be: Sequence[Topic]) -> tuple[list[Difference], list[Difference]]:
        return await cluster.apply(should_be), await cluster.plan(should_be)

    done, left = _with_cluster(config, work)
    left = [one for one in left if not one.mendable]
    _print(done, output, nothing="nothing was missing", done=True)
    if left:
        _complain(left)
        raise Silent


@topics.command()
@config_option
@output_option
def check(output: str, config: Path | None) -> None:
    """Exit with code 1 when anything is missing or different, with 3 when the brokers can not be reached."""
    differences = _with_cluster(config, lambda cluster, should_be: cluster.plan(should_be))
    _print(differences, output, nothing="all topics are as they should be")
    if differences:
        raise CheckFailed(f"{len(differences)} difference(s); `levada topics apply` makes what can be made")


def _with_cluster(config: Path | None, work: Callable[[Topics, Sequence[Topic]], Awaitable[T]]) -> T:
    """Connect, do the work, and disconnect."""
    loaded = load(file=config).config
    if not loaded.kafka.bootstrap_servers:
        raise BadUsage(
            "kafka.bootstrap_servers is not set (LEVADA_KAFKA_BOOTSTRAP_SERVERS): this installation uses no Kafka"
        )
    return asyncio.run(_talk(loaded, work))


async def _talk(config: Config, work: Callable[[Topics, Sequence[Topic]], Awaitable[T]]) -> T:
    from levada.bus.kafka.quiet import install
    from levada.bus.kafka.topics import Topics, wanted
    from levada.runtime.kafka import settings

    install()
    made = settings(config)
    async with Topics(made) as cluster:
        return await work(cluster, wanted(made, config.bus.partitions, config.limits.message))


def _print(differences: Sequence[Difference], output: str, *, nothing: str, done: bool = False) -> None:
    if output == "json":
        screen.document(
            [
                {
                    "topic": one.topic,
                    "kind": one.kind.value,
                    "what": one.what,
                    "is": one.is_now,
                    "shouldBe": one.should_be,
                    "remedy": one.remedy,
                }
                for one in differences
            ]
        )
    elif differences and done:
        rows = [[one.topic, one.what, one.is_now or "missing", one.should_be] for one in differences]
        screen.table(["topic", "what", "was", "is"], rows)
    elif differences:
        rows = [[one.topic, one.what, one.is_now or "missing", one.should_be, one.remedy] for one in differences]
        screen.table(["topic", "what", "is", "should be", "remedy"], rows)
    else:
        screen.say(nothing)


def _complain(differences: Sequence[Difference]) -> None:
    for one in differences:
        screen.note(f"topic {one.topic}: {one.what} is {one.is_now}, should be {one.should_be}: {one.remedy}")
