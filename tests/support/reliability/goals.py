"""The goals: what is promised, which harness shows it in which form, and what of its report is worth a place in the table.

One goal may need several runs, one per mode. `python -m tests.chaos all` plays them, page.py shows them. `quick` replaces
options of a run where only the machinery is to be tried; figures of a quick run prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Run:
    """One call of a harness. `shown` names figures of its report; `limit_s` is when it is ended by force."""

    name: str
    harness: str
    options: Options
    shown: tuple[str, ...]
    quick: Options = field(default_factory=dict)
    limit_s: float = 400.0

    def arguments(self, quick: bool) -> list[str]:
        """Return the command line of the harness, without seed and report."""
        told = {**self.options, **(self.quick if quick else {})}
        return [self.harness, *(word for name, value in told.items() for word in (f"--{name}", str(value)))]


@dataclass(frozen=True)
class Goal:
    """`did` says what is done, `wanted` what must come of it."""

    id: str
    did: str
    wanted: str
    runs: tuple[Run, ...]


_LOAD = ("acknowledged per second", "lost", "doubled")
_RECOVERY = ("recoveries of lost attempts", "recovery p95, s")
_MODES = {"standalone": "one process", "postgres": "services, bus in Postgres", "kafka": "services over Kafka"}


def _kills(bus: str, kills: int, seconds: float, rate: float, restart: float = 2.0) -> Run:
    return Run(
        f"{_MODES[bus]}",
        "gremlin",
        {"bus": bus, "kills": kills, "seconds": seconds, "rate": rate, "restart": restart, "at-least": 20},
        ("faults: kill", "victims: kill", "executions", *_LOAD, *_RECOVERY),
        {"kills": 4, "seconds": 12, "at-least": 1},
        limit_s=seconds + 260,
    )


def _poison(bus: str) -> Run:
    return Run(
        _MODES[bus],
        "poison",
        {"bus": bus, "messages": 10_000, "seconds": 25, "rate": 15},
        (
            "messages",
            "had to be dead letters, and are",
            "could be read and had no effect",
            "on the topic that nobody stores",
            *_LOAD,
        ),
        {"messages": 600, "seconds": 8},
        limit_s=300,
    )


GOALS: tuple[Goal, ...] = (
    Goal(
        "R1",
        "100 kill -9 of random processes in each mode (Kafka; Postgres: 70 of services, 30 of the one process) under load;"
        " of several of a kind one is left",
        "0 lost, 0 doubled, ≥ 20 executions/s, p95 of a lost task's recovery ≤ lease + 5 s",
        (
            _kills("kafka", 100, 240, 28),
            _kills("postgres", 70, 125, 28),
            _kills("standalone", 30, 130, 45, 0.3),
        ),
    ),
    Goal(
        "R2",
        "every failpoint of the code × die, hang beyond the lease, raise, done-but-error, under load",
        "each is reached; 0 lost, 0 doubled",
        (
            Run(
                _MODES["kafka"],
                "crashpoint",
                {"bus": "kafka", "rate": 15, "lease": 2},
                ("failpoints", "failures tried", "failures reached", "never reached", *_LOAD),
                {"count": 4},
                limit_s=900,
            ),
        ),
    ),
    Goal(
        "R3",
        "Postgres dies at once (SIGQUIT or SIGKILL) 5 times under load",
        "all services back unaided ≤ 10 s; 0 lost, 0 doubled",
        (
            Run(
                _MODES["kafka"],
                "gremlin",
                {"bus": "kafka", "postgres": 5, "seconds": 40, "rate": 20},
                ("faults: postgres", "back after Postgres died, s (median, worst)", *_LOAD),
                {"postgres": 1, "seconds": 10},
                limit_s=260,
            ),
        ),
    ),
    Goal(
        "R4",
        "kill -9 of brokers under load; one broker of three down for 60 s (the others have its share of the two cores then)",
        "0 lost, 0 doubled; throughput with one broker down ≥ 70 %",
        (
            Run(
                "3 kills",
                "gremlin",
                {"bus": "kafka", "brokers": 3, "seconds": 30, "rate": 20},
                ("faults: broker", *_LOAD),
                {"brokers": 1, "seconds": 10},
                limit_s=240,
            ),
            Run(
                "one of three down for 60 s",
                "outage",
                {"before": 20, "down": 60},
                (
                    "throughput while down",
                    "completed per second before",
                    "completed per second while down",
                    "completed per second after",
                    "p99 before, ms",
                    "p99 while down, ms",
                    "lost",
                    "doubled",
                ),
                {"before": 5, "down": 6},
                limit_s=300,
            ),
        ),
    ),
    Goal(
        "R5",
        "lines between services, Postgres, Kafka and gateways are cut (silent, one-way, half-open), 20 s each",
        "6 cuts; 0 lost, 0 doubled, no process needs a restart",
        (
            Run(
                _MODES["kafka"],
                "netsplit",
                {"bus": "kafka", "count": 6, "seconds": 20, "rate": 15},
                (
                    "an executor loses everything",
                    "an api does not hear Postgres's answers",
                    "a worker loses all gateways",
                    "Postgres has forgotten all connections",
                    "nobody hears Kafka's answers",
                    "an executor and an api do not reach Kafka",
                    *_LOAD,
                ),
                {"count": 2, "seconds": 4},
                limit_s=420,
            ),
        ),
    ),
    Goal(
        "R6",
        "random processes are frozen for 1.5 to 4 leases and go on as if nothing had been",
        "20 freezes; every write of a zombie is refused; 0 lost, 0 doubled",
        (
            Run(
                _MODES["kafka"],
                "gremlin",
                {"bus": "kafka", "freezes": 20, "seconds": 60, "rate": 20},
                (
                    "faults: freeze",
                    "victims: freeze",
                    "zombies' results that came after their attempt was given up",
                    "zombies' batches that were refused",
                    *_LOAD,
                    *_RECOVERY,
                ),
                {"freezes": 2, "seconds": 10},
                limit_s=300,
            ),
        ),
    ),
    Goal(
        "R7",
        "all brokers are killed and their logs wiped, under load",
        "all unfinished work goes on ≤ 60 s; 0 lost, 0 doubled",
        (
            Run(
                _MODES["kafka"],
                "amnesia",
                {"losses": 1, "seconds": 12, "rate": 15},
                ("loss 1", *_LOAD),
                {"seconds": 4},
                limit_s=300,
            ),
        ),
    ),
    Goal(
        "R11",
        "10,000 malformed messages on all topics amid load",
        "no partition stops; each is one dead letter, or provably ignored; healthy runs are unaffected",
        (_poison("kafka"), _poison("postgres")),
    ),
    Goal(
        "R12",
        "2,000 simulated worlds with crashes, freezes, cuts, repeats and lost logs",
        "no world breaks a promise; ≤ 3 min",
        (
            Run(
                "simulation",
                "simulation",
                {"seeds": 2000},
                ("worlds", "first seed", "failed worlds", "executions", "task runs", "seconds"),
                {"seeds": 40},
                limit_s=500,
            ),
        ),
    ),
    Goal(
        "R13",
        "fences are taken out of the code, one at a time",
        "at least 20 mutants, each killed",
        (
            Run(
                "simulation",
                "mutants",
                {},
                ("mutants", "killed", "survivors", "seeds needed at most", "seconds"),
                {"count": 4},
                limit_s=400,
            ),
        ),
    ),
    Goal(
        "R16",
        "50 scripts that do not want to end (sessions, double forks, deaf, stopped, output held, fork chains)",
        "no process survives the grace + 2 s",
        (
            Run(
                "worker's guard",
                "killtree",
                {"scripts": 50},
                (
                    "scripts",
                    "tricks",
                    "processes at the moment of the order",
                    "survivors",
                    "gone after, s (median, worst)",
                    "stopped",
                    "ended",
                    "orphaned",
                ),
                {"scripts": 8},
                limit_s=240,
            ),
        ),
    ),
    Goal(
        "R17",
        "random processes are asked to stop (SIGTERM) under load and started again",
        "20 stops; exit code 0; no task is failed by them",
        (
            Run(
                _MODES["kafka"],
                "gremlin",
                {"bus": "kafka", "terms": 20, "seconds": 45, "rate": 20},
                (
                    "faults: term",
                    "victims: term",
                    "exit codes of graceful stops",
                    "longest graceful stop, s",
                    "executions that failed",
                    *_LOAD,
                ),
                {"terms": 2, "seconds": 10},
                limit_s=300,
            ),
        ),
    ),
    Goal(
        "R18",
        "every process is rolled from an older version to this one and back, under load",
        "0 lost, 0 doubled, no execution fails, exit code 0",
        (
            Run(
                _MODES["kafka"],
                "upgrade",
                {"rate": 10},
                (
                    "older version",
                    "commits between",
                    "migrations between",
                    "processes changed",
                    "acknowledged before, on the way up, on the way back",
                    "executions that failed",
                    *_LOAD,
                ),
                {"settle": 2},
                limit_s=420,
            ),
        ),
    ),
)

assert len({goal.id for goal in GOALS}) == len(GOALS)


def file_name(goal: Goal, run: Run) -> str:
    """Return the name of a run's report in the folder of reports, without its ending."""
    return f"{goal.id}-{goal.runs.index(run) + 1}-{run.harness}"
