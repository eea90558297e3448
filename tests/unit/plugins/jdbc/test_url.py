"""JDBC URLs of Postgres in all their forms."""

from __future__ import annotations

import pytest

from levada.plugins.jdbc.postgresql.url import parse
from levada.sdk import TaskFailed


def test_a_plain_url() -> None:
    address = parse("jdbc:postgresql://db.example.org:6432/sales")
    assert (address.hosts, address.ports, address.database) == (("db.example.org",), (6432,), "sales")
    assert address.shown() == "db.example.org:6432/sales"


def test_the_shorter_forms() -> None:
    assert parse("jdbc:postgresql:sales").database == "sales"
    assert parse("jdbc:postgresql://host/").database is None
    assert parse("jdbc:postgresql:///sales").hosts == ("localhost",)
    address = parse("postgresql://us%40er:p%3Aw@[::1]:5433/sales")
    assert (address.hosts, address.ports, address.user, address.password) == (("::1",), (5433,), "us@er", "p:w")


def test_several_hosts_and_a_target() -> None:
    address = parse("jdbc:postgresql://a:1,b/sales?targetServerType=secondary")
    assert (address.hosts, address.ports, address.target) == (("a", "b"), (1, 5432), "standby")


def test_parameters_are_translated() -> None:
    address = parse(
        "jdbc:postgresql://h/d?user=u&password=p%26w&ApplicationName=etl&currentSchema=s&sslmode=require"
        "&options=-c%20work_mem=64MB&connectTimeout=3&reWriteBatchedInserts=true"
    )
    assert (address.user, address.password, address.connect_timeout_s) == ("u", "p&w", 3)
    assert dict(address.settings) == {"application_name": "etl", "search_path": "s", "work_mem": "64MB"}
    assert dict(address.ssl) == {"sslmode": "require"}
    assert address.ignored == ("reWriteBatchedInserts",)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("jdbc:mysql://h/d", "must look like jdbc:postgresql://host:5432/database, but begins with 'jdbc'"),
        ("jdbc:postgresql://h:port/d", "'port' is no port"),
        ("jdbc:postgresql://h/d?nonsense=1", "the parameter 'nonsense'"),
        ("jdbc:postgresql://h/d?connectTimeout=soon", "connectTimeout must be seconds"),
        ("jdbc:postgresql://h/d?options=fast", None),
    ],
)
def test_what_is_wrong_is_named(url: str, message: str | None) -> None:
    if message is None:
        assert parse(url).settings == ()
        return
    with pytest.raises(TaskFailed, match=message):
        parse(url)
