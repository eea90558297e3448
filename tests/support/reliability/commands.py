"""`python -m tests.chaos HARNESS …`: one command per harness. Each prints its seed and its figures, and writes them as JSON."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from reliability import amnesia, crashpoint, gremlin, netsplit
from reliability.fleet import Fleet, Services, Standalone
from reliability.report import Report, made
from reliability.trial import Trial
from reliability.wires import Wired

BUSES = ("standalone", "postgres", "kafka")
"""`standalone` is one process on the Postgres bus; the others are a process per service."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    folder = Path(options.folder or tempfile.mkdtemp(prefix=f"levada-{options.harness}-"))
    print(f"{options.harness}: seed {options.seed}, files in {folder}", flush=True)
    run: Callable[[argparse.Namespace, Path], Report] = options.run
    report = run(options, folder)
    print(*report.lines(), sep="\n")
    if options.report:
        report.write(Path(options.report))
    if report.passed and not options.folder:
        shutil.rmtree(folder, ignore_errors=True)
    elif not report.passed:
        print(f"everything that was seen is in {folder}", file=sys.stderr)
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that Levada keeps its promises.")
    harnesses = parser.add_subparsers(dest="harness", required=True)
    _gremlin(harnesses)
    _crashpoint(harnesses)
    _netsplit(harnesses)
    _amnesia(harnesses)
    return parser


def _new(harnesses: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, run: object) -> argparse.ArgumentParser:  # fmt: skip
    """A command with the options that all have."""
    command = harnesses.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    command.add_argument("--seed", type=int, help="what decides the order of events; drawn and printed if left out")
    command.add_argument("--report", help="write the figures to this file, as JSON")
    command.add_argument("--folder", help="work here and leave everything in place")
    return command


def _with_fleet(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bus", choices=BUSES, default="standalone")
    command.add_argument("--rate", type=float, default=20.0, help="executions per second (20)")
    command.add_argument("--lease", type=float, default=3.0, help="seconds until a silent worker is lost (3)")


def told(folder: Path) -> dict[str, str]:
    """Return the settings that every fleet runs with: its files are all in one place, and nobody waits long."""
    return {"LEVADA_WORKER_TEMP_DIR": str(folder / "tmp"), "LEVADA_WORKER_KILL_GRACE": "2"}


def fleet(options: argparse.Namespace, folder: Path) -> Fleet:
    """Return the processes that the options ask for."""
    env = told(folder)
    if options.bus == "standalone":
        return Standalone(folder / "fleet", lease_s=options.lease, env=env)
    return Services(folder / "fleet", bus=options.bus, lease_s=options.lease, env=env)


def _gremlin(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "gremlin", "Kill, freeze and stop real processes under load.", _run_gremlin)
    _with_fleet(command)
    for name, about in (
        ("kills", "kill -9 of random processes"),
        ("freezes", "freezes beyond the lease"),
        ("postgres", "deaths of Postgres"),
        ("brokers", "kills of a broker"),
        ("terms", "graceful stops"),
    ):
        command.add_argument(f"--{name}", type=int, default=0, help=about)
    command.add_argument("--seconds", type=float, default=60.0, help="over how long (60)")


def _run_gremlin(options: argparse.Namespace, folder: Path) -> Report:
    orders = gremlin.Orders(
        kills=options.kills,
        freezes=options.freezes,
        postgres=options.postgres,
        brokers=options.brokers,
        terms=options.terms,
        seconds=options.seconds,
    )
    report = made("gremlin", options.seed, bus=options.bus, rate=options.rate, lease=options.lease, **vars(orders))
    trial = Trial(fleet(options, folder), folder, seed=options.seed, rate=options.rate)
    return asyncio.run(gremlin.run(trial, orders, report))


def _crashpoint(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "crashpoint", "Fail at every failpoint of the code, in every way.", _run_crashpoint)
    _with_fleet(command)
    command.add_argument("--count", type=int, help="try only so many, as the seed draws")


def _run_crashpoint(options: argparse.Namespace, folder: Path) -> Report:
    report = made(
        "crashpoint", options.seed, bus=options.bus, rate=options.rate, lease=options.lease, count=options.count
    )
    trial = Trial(fleet(options, folder), folder, seed=options.seed, rate=options.rate)
    return asyncio.run(crashpoint.run(trial, report, options.count))


def _netsplit(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "netsplit", "Cut lines between real processes under load.", _run_netsplit)
    _with_fleet(command)
    command.set_defaults(bus="postgres")
    command.add_argument("--seconds", type=float, default=20.0, help="how long each line is cut (20)")
    command.add_argument("--brokers", type=int, default=1, help="brokers where the bus is Kafka (1)")


def _run_netsplit(options: argparse.Namespace, folder: Path) -> Report:
    if options.bus == "standalone":
        raise SystemExit("netsplit needs processes with lines between them: --bus postgres or --bus kafka")
    given = {"bus": options.bus, "brokers": options.brokers, "lease_s": options.lease}
    wired = Wired(folder / "fleet", env=told(folder), **given)
    report = made("netsplit", options.seed, rate=options.rate, seconds=options.seconds, **given)
    trial = Trial(wired, folder, seed=options.seed, rate=options.rate)
    return asyncio.run(netsplit.run(trial, netsplit.cases(options.bus == "kafka"), options.seconds, report))


def _amnesia(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "amnesia", "Delete everything that Kafka stored, under load.", _run_amnesia)
    _with_fleet(command)
    command.set_defaults(bus="kafka")
    command.add_argument("--losses", type=int, default=1, help="how often (1)")
    command.add_argument("--seconds", type=float, default=15.0, help="time before, between and after the losses (15)")


def _run_amnesia(options: argparse.Namespace, folder: Path) -> Report:
    report = made("amnesia", options.seed, rate=options.rate, losses=options.losses, lease=options.lease)
    trial = Trial(fleet(options, folder), folder, seed=options.seed, rate=options.rate)
    return asyncio.run(amnesia.run(trial, options.losses, options.seconds, report))
