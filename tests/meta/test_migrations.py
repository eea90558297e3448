"""Migrations add in one release and remove in the next, so that two releases can run on one database."""

from __future__ import annotations

import re

import pytest

from levada.store import migrate

TAKES_AWAY = re.compile(
    r"\b(DROP\s+(?!DEFAULT\b)\w+"
    r"|RENAME\s+(COLUMN|TO|CONSTRAINT)"
    r"|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE"
    r"|SET\s+NOT\s+NULL"
    r"|ADD\s+CONSTRAINT"
    r"|TRUNCATE)\b",
    re.IGNORECASE,
)
COMMENT = re.compile(r"--[^\n]*")
#: Adding a column that must have a value breaks the inserts of a release that does not know it.
MUST_HAVE = re.compile(r"ADD\s+COLUMN\s+(?![^;]*\bDEFAULT\b)[^;]*NOT\s+NULL", re.IGNORECASE)
MIGRATIONS = migrate.read()


@pytest.mark.parametrize("migration", MIGRATIONS, ids=[one.file for one in MIGRATIONS])
def test_what_takes_something_away_says_which_code_it_needs(migration: migrate.Migration) -> None:
    found = breaking(migration.sql)
    assert found is None or migration.needs, (
        f"{migration.file}: `{found}` breaks the release before; do it in a later release, in a file with the line "
        f"`-- needs code of NNNN`, where NNNN is the migration whose code no longer uses it"
    )


def breaking(sql: str) -> str | None:
    """Return the words that take something away from code that does not know this migration; None if there are none."""
    plain = COMMENT.sub("", sql)
    found = TAKES_AWAY.search(plain) or MUST_HAVE.search(plain)
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("sql", "breaks"),
    [
        ("ALTER TABLE a DROP b", True),
        ("DROP INDEX a", True),
        ("ALTER TABLE a RENAME COLUMN b TO c", True),
        ("ALTER TABLE a ALTER COLUMN b TYPE text", True),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", True),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL", True),
        ("ALTER TABLE a ADD COLUMN b int NOT NULL DEFAULT 0", False),
        ("ALTER TABLE a ADD COLUMN b int", False),
        ("CREATE TABLE a (b int NOT NULL); CREATE INDEX c ON a (b)", False),
        ("-- DROP what was\nCREATE TABLE a (b int)", False),
        ("ALTER TABLE a ALTER COLUMN b SET DEFAULT 1", False),
    ],
)
def test_the_rule_itself(sql: str, breaks: bool) -> None:
    assert (breaking(sql) is not None) is breaks
