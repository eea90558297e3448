"""`python -m tests.chaos HARNESS …`: one command per harness. Each prints its seed and its figures, and writes them as JSON.

`all` plays every harness in the form that goals.py names for each goal, `page` writes docs/reliability.md from the reports.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reliability import (
    amnesia,
    crashpoint,
    every,
    gremlin,
    killtree,
    netsplit,
    outage,
    page,
    poison,
    simulated,
    upgrade,
)
from reliability.fleet import Fleet, Services, Standalone
from reliability.report import Report, made
from reliability.trial import Trial
from reliability.wires import Wired

BUSES = ("standalone", "postgres", "kafka")
"""`standalone` is one process on the Postgres bus; the others are a process per service."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.harness in ("all", "page"):
        return int(options.run(options))
    return _play(options)


def _play(options: argparse.Namespace) -> int:
    """Run one harness; return 0 when every goal was reached."""
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    folder = Path(options.folder or tempfile.mkdtemp(prefix=f"levada-{options.harness}-"))
    print(f"{options.harness}: seed {options.seed}, files in {folder}", flush=True)
    run: Callable[[argparse.Namespace, Path], Report] = options.run
    begun = time.monotonic()
    report = run(options, folder)
    report.took_s = round(time.monotonic() - begun, 1)
    print(*report.lines(), sep="\n")
    if options.report:
        report.write(Path(options.report))
    if report.passed and not options.folder:
        shutil.rmtree(folder, ignore_errors=True)
    elif not report.passed:
        print(f"everything that was seen is in {folder}", file=sys.stderr)
    return 0 if report.passed else 1


def parser() -> argparse.ArgumentParser:
    made_ = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that Levada keeps its promises.")
    harnesses = made_.add_subparsers(dest="harness", required=True)
    _gremlin(harnesses)
    _crashpoint(harnesses)
    _netsplit(harnesses)
    _amnesia(harnesses)
    _outage(harnesses)
    _poison(harnesses)
    _upgrade(harnesses)
    _killtree(harnesses)
    _simulation(harnesses)
    _mutants(harnesses)
    every.command(harnesses)
    page.command(harnesses)
    return made_


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
    command.add_argument(
        "--restart", type=float, default=2.0, help="seconds that a killed process stays down at most (2)"
    )
    command.add_argument("--at-least", type=float, default=0.0, help="executions per second that must be accepted")


def _run_gremlin(options: argparse.Namespace, folder: Path) -> Report:
    orders = gremlin.Orders(
        kills=options.kills,
        freezes=options.freezes,
        postgres=options.postgres,
        brokers=options.brokers,
        terms=options.terms,
        seconds=options.seconds,
        restart_s=options.restart,
        at_least=options.at_least,
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
    command.add_argument("--count", type=int, help="only so many of the cuts, those of the bus always among them")


def _run_netsplit(options: argparse.Namespace, folder: Path) -> Report:
    if options.bus == "standalone":
        raise SystemExit("netsplit needs processes with lines between them: --bus postgres or --bus kafka")
    given = {"bus": options.bus, "brokers": options.brokers, "lease_s": options.lease}
    wired = Wired(folder / "fleet", env=told(folder), **given)
    report = made("netsplit", options.seed, rate=options.rate, seconds=options.seconds, **given)
    trial = Trial(wired, folder, seed=options.seed, rate=options.rate)
    return asyncio.run(
        netsplit.run(trial, netsplit.cases(options.bus == "kafka", options.count), options.seconds, report)
    )


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


def _outage(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(
        harnesses, "outage", "Take one broker of three away, and compare the pace before and after.", _run_outage
    )
    _with_fleet(command)
    command.set_defaults(bus="kafka", rate=3.0)
    command.add_argument("--before", type=float, default=20.0, help="seconds to measure with all brokers (20)")
    command.add_argument("--down", type=float, default=60.0, help="seconds with one broker less (60)")


def _run_outage(options: argparse.Namespace, folder: Path) -> Report:
    if options.bus != "kafka":
        raise SystemExit("outage takes a broker away: --bus kafka")
    report = made("outage", options.seed, bus="kafka", before=options.before, down=options.down, rate=options.rate)
    trial = Trial(fleet(options, folder), folder, seed=options.seed, rate=options.rate)
    return asyncio.run(outage.run(trial, options.before, options.down, report))


def _poison(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "poison", "Send malformed messages on every topic amid load.", _run_poison)
    _with_fleet(command)
    command.set_defaults(bus="postgres")
    command.add_argument("--messages", type=int, default=10_000, help="how many (10,000)")
    command.add_argument("--seconds", type=float, default=30.0, help="over how long (30)")


def _run_poison(options: argparse.Namespace, folder: Path) -> Report:
    if options.bus == "standalone":
        raise SystemExit(
            "a single process reads its bus alone, nobody else writes there: --bus postgres or --bus kafka"
        )
    given = {"bus": options.bus, "rate": options.rate, "messages": options.messages, "seconds": options.seconds}
    report = made("poison", options.seed, **given)
    trial = Trial(fleet(options, folder), folder, seed=options.seed, rate=options.rate)
    return asyncio.run(poison.run(trial, options.messages, options.seconds, report))


def _upgrade(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "upgrade", "Roll all processes from an older version to this one and back.", _run_upgrade)
    _with_fleet(command)
    command.set_defaults(bus="kafka", rate=10.0)
    command.add_argument("--from", dest="older", help="the older version, a commit (the oldest that can be upgraded)")
    command.add_argument("--settle", type=float, default=5.0, help="seconds before, between and after the ways (5)")


def _run_upgrade(options: argparse.Namespace, folder: Path) -> Report:
    if options.bus == "standalone":
        raise SystemExit("versions live side by side where there are several processes: --bus postgres or --bus kafka")
    old = upgrade.checked_out(options.older or upgrade.oldest(), folder / "older")
    report = made("upgrade", options.seed, bus=options.bus, rate=options.rate, older=old.name)
    services = Services(folder / "fleet", bus=options.bus, lease_s=options.lease, env={**told(folder), **old.env})
    trial = Trial(services, folder, seed=options.seed, rate=options.rate)
    return asyncio.run(upgrade.run(trial, old, options.settle, report))


def _killtree(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "killtree", "End scripts that do not want to end.", _run_killtree)
    command.add_argument("--scripts", type=int, default=50, help="how many (50)")


def _run_killtree(options: argparse.Namespace, folder: Path) -> Report:
    report = made("killtree", options.seed, scripts=options.scripts)
    return asyncio.run(killtree.run(folder, options.scripts, report))


def _simulation(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "simulation", "Play simulated worlds, seed by seed.", _run_simulation)
    command.add_argument("--seeds", type=int, default=simulated.FULL, help="how many worlds, from --seed on (2,000)")


def _run_simulation(options: argparse.Namespace, folder: Path) -> Report:
    return simulated.run(options.seed, options.seeds, made("simulation", options.seed, seeds=options.seeds))


def _mutants(harnesses: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = _new(harnesses, "mutants", "Take fences out of the code; each must be missed.", _run_mutants)
    command.add_argument("--count", type=int, help="only the first so many")


def _run_mutants(options: argparse.Namespace, folder: Path) -> Report:
    """The worlds are always those of the seeds from 0 on, so that a mutant that is killed stays killed."""
    return simulated.run_mutants(made("mutants", options.seed, count=options.count), options.count)
