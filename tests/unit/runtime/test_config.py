from __future__ import annotations

import base64
from pathlib import Path

import pytest

from levada.model.errors import UserError
from levada.runtime import config
from levada.runtime.config import setting

KEY = bytes(range(32))


def load(**environ: str) -> config.Loaded:
    return config.load(environ=environ)


def write(folder: Path, text: str) -> Path:
    path = folder / "levada.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


# --- layers and sources


def test_defaults_need_nothing() -> None:
    loaded = load()
    assert loaded.config == config.Config()
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.config.embedded_database
    assert loaded.config.storage_url.startswith("file:///")
    assert loaded.config.storage_url.endswith("/.levada/storage")


def test_options_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "port: 1001\nworker:\n  slots: 1\n  queues: [a, b]\nlog: {level: debug}\n")
    loaded = config.load(
        {"port": 1003, "host": None}, file=file, environ={"LEVADA_PORT": "1002", "LEVADA_WORKER_SLOTS": "2"}
    )
    assert (loaded.config.port, loaded.sources["port"]) == (1003, "--port")
    assert (loaded.config.worker.slots, loaded.sources["worker.slots"]) == (2, "LEVADA_WORKER_SLOTS")
    assert (loaded.config.worker.queues, loaded.sources["worker.queues"]) == (("a", "b"), f"{file}:4")
    assert (loaded.config.log.level, loaded.sources["log.level"]) == ("debug", f"{file}:5")
    assert (loaded.config.host, loaded.sources["host"]) == ("127.0.0.1", "default")


def test_levada_yml_in_the_working_directory_is_read() -> None:
    Path("levada.yml").write_text("port: 1001")
    assert load().config.port == 1001


def test_levada_config_names_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "worker:\n  kill-grace: 2s\n")
    assert load(LEVADA_CONFIG=str(file)).config.worker.kill_grace == 2.0
    with pytest.raises(config.ConfigError, match="no such configuration file"):
        load(LEVADA_CONFIG=str(tmp_path / "other.yml"))


def test_every_fixed_variable_name_exists() -> None:
    fixed = (
        "HOST PORT MANAGEMENT_PORT DATA_DIR DATABASE_URL KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL STORAGE_URL AUTH_MODE "
        "BASIC_AUTH_USERNAME BASIC_AUTH_PASSWORD ENCRYPTION_KEY LOG_FORMAT LOG_LEVEL WORKER_SLOTS WORKER_QUEUES"
    )
    assert {f"LEVADA_{name}" for name in fixed.split()} <= set(config.VARIABLES)


def test_every_setting_is_documented_and_its_default_survives_a_round_trip() -> None:
    for path, spec in config.SPECS.items():
        assert spec.doc, path
        default = config.value_at(config.Config(), path)
        assert setting.parse(spec, setting.shown(spec, default)) == default, path


# --- errors


def test_all_problems_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    file = write(tmp_path, "prot: 80\nworker:\n  slot: 3\n  lease: soon\nlog: 3\nport: [1]\nport: 2\nslots: 4\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load({"data_dri": "x"}, file=file, environ={"LEVADA_WORKER_SLOTS": "many", "LEVADA_HOTS": "x"})
    assert str(caught.value).splitlines() == [
        f"{file}:1: unknown key `prot`; did you mean `port`?",
        f"{file}:3: unknown key `worker.slot`; did you mean `worker.slots`?",
        f"{file}:4: `worker.lease` must be a duration such as 15s, 2m, 500ms or PT15S, is 'soon'",
        f"{file}:5: `log` is a section with the keys format, level, levels",
        f"{file}:6: `port` takes integer, not a list",
        f"{file}:7: `port` is set twice, first in line 6",
        f"{file}:8: unknown key `slots`; did you mean `worker.slots`?",
        "LEVADA_WORKER_SLOTS: `worker.slots` must be a whole number, is 'many'",
        "LEVADA_HOTS: unknown environment variable; did you mean `LEVADA_HOST`?",
        "--data-dri: unknown setting; did you mean `data_dir`?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"levada\.yml:1: not a YAML file"),
        ("- 1\n- 2", r"levada\.yml:1: must be a mapping"),
        ("{a: 1}: 2", "a key must be a word"),
        ("variables: {globals: " + "{a: " * 20 + "1" + "}" * 20 + "}", "nested more than"),
        ("\x00", "not a YAML file"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.load(file=write(tmp_path, text), environ={})


def test_an_empty_file_and_empty_sections_set_nothing(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "worker:\nlog: ~\ndatabase:\n  url:\n"):
        assert config.load(file=write(tmp_path, text), environ={}).config == config.Config()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LEVADA_PORT": "70000"}, "at most 65535"),
        ({"LEVADA_WORKER_SLOTS": "0"}, "at least 1"),
        ({"LEVADA_WORKER_LEASE": "1ms"}, "at least 0.5s and at most 3600s"),
        ({"LEVADA_LIMITS_OUTPUT": "1"}, "at least 1KiB"),
        ({"LEVADA_LIMITS_OUTPUT": "lots"}, "10MiB"),
        ({"LEVADA_LOG_FORMAT": "xml"}, "one of text, json"),
        ({"LEVADA_BUS_DOORBELL": "maybe"}, "true or false"),
        ({"LEVADA_VARIABLES_GLOBALS": "[1]"}, "JSON object"),
        ({"LEVADA_LOG_LEVELS": '{"a": "loud"}'}, "`a` must be one of"),
        ({"LEVADA_AUTH_MODE": "none", "LEVADA_HOST": "0.0.0.0"}, "loopback"),
        ({"LEVADA_BASIC_AUTH_USERNAME": "a"}, "basic_auth.password` must be set too"),
        ({"LEVADA_BASIC_AUTH_PASSWORD": "a"}, "basic_auth.username` must be set too"),
        ({"LEVADA_BASIC_AUTH_USERNAME": "a:b", "LEVADA_BASIC_AUTH_PASSWORD": "a"}, "colon"),
        ({"LEVADA_ENCRYPTION_KEY": "short"}, "32 bytes"),
        ({"LEVADA_DATABASE_URL": "mysql://x"}, "postgresql://"),
        ({"LEVADA_STORAGE_URL": "ftp://x"}, "s3://"),
        ({"LEVADA_STORAGE_URL": "file://host/folder"}, "another host, host"),
        ({"LEVADA_STORAGE_URL": "s3:///prefix"}, "names no bucket"),
        ({"LEVADA_STORAGE_URL": "s3://b", "LEVADA_STORAGE_ACCESS_KEY": "a"}, "storage.secret_key` must be set too"),
        ({"LEVADA_STORAGE_URL": "s3://b", "LEVADA_STORAGE_ENDPOINT": "host:9000"}, "https://"),
        ({"LEVADA_STORAGE_ENDPOINT": "https://s3"}, "storage.endpoint` is for s3://"),
        ({"LEVADA_STORAGE_CA_FILE": "/nowhere"}, "no file /nowhere"),
        ({"LEVADA_SERVER_URL": "levada.example.com"}, "https://"),
        ({"LEVADA_KAFKA_BOOTSTRAP_SERVERS": "broker"}, "has no port"),
        ({"LEVADA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "kafka.sasl_username` must be set"),
        ({"LEVADA_KAFKA_SSL_CA_FILE": "/nowhere"}, "no file /nowhere"),
        ({"LEVADA_PORT": "8081"}, "must differ"),
    ],
)
def test_a_value_that_cannot_be_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        load(**environ)


def test_what_kubernetes_sets_beside_a_service_is_no_setting() -> None:
    environ = {
        "LEVADA_SERVICE_HOST": "10.0.0.1",
        "LEVADA_SERVICE_PORT_HTTP": "80",
        "LEVADA_PORT": "tcp://10.0.0.1:80",
        "LEVADA_PORT_80_TCP_ADDR": "10.0.0.1",
        "LEVADA_WEBHOOK_PORT_80_TCP": "tcp://10.0.0.1:80",
    }
    assert load(**environ).config == config.Config()


def test_auth_mode_none_is_allowed_on_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        assert load(LEVADA_AUTH_MODE="none", LEVADA_HOST=host).config.auth.mode == "none"


# --- values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("2m", 120),
        ("500ms", 0.5),
        ("1.5", 1.5),
        ("1h", 3600),
        ("1d", 86400),
        ("PT15S", 15),
        ("P1DT2H", 93600),
        ("pt1m0.5s", 60.5),
    ],
)
def test_durations_are_short_or_iso(text: str, seconds: float) -> None:
    assert setting.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "s", "-1s", "1 week", "1e3", "soon", "1s x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        setting.seconds(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("256KiB", 256 << 10), ("10MB", 10 << 20), ("1g", 1 << 30), ("1.5 MiB", 3 << 19)]
)
def test_sizes_have_binary_units(text: str, size: int) -> None:
    assert setting.size(text) == size


def test_globals_keep_their_types(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'variables:\n  globals:\n    region: eu\n    n: 3\n    f: 1.5\n    on: yes\n    t: true\n    s: "3"\n    l: [1, ~]\n',
    )
    expected = {"region": "eu", "n": 3, "f": 1.5, "on": "yes", "t": True, "s": "3", "l": [1, None]}
    assert config.load(file=file, environ={}).config.variables.globals == expected
    assert load(LEVADA_VARIABLES_GLOBALS='{"a": {"b": 1}}').config.variables.globals == {"a": {"b": 1}}


# --- secrets and environment


def test_secrets_are_read_plain_and_in_base64_and_are_no_settings() -> None:
    encoded = base64.b64encode(b"geheim\n").decode()
    loaded = load(
        SECRET_API_KEY=encoded[:4] + "\n" + encoded[4:],
        LEVADA_SECRET_DB="p w",
        SECRET_DB="eA==",
        SECRET_KEY="not base64!",
    )
    assert loaded.secrets["api_key"] == "geheim\n"
    assert loaded.secrets["DB"] == "p w"
    assert list(loaded.secrets) == ["API_KEY", "DB", "KEY"]
    assert "MISSING" not in loaded.secrets
    with pytest.raises(KeyError):
        loaded.secrets["MISSING"]
    with pytest.raises(UserError, match="SECRET_KEY is not base64"):
        loaded.secrets["KEY"]
    assert "p w" not in repr(loaded)


def test_envs_are_the_variables_with_the_prefix() -> None:
    assert load(ENV_REGION="eu", OTHER="x", ENV_="y").envs == {"region": "eu"}
    assert load(APP_ZONE="1", ENV_REGION="eu", LEVADA_VARIABLES_ENV_VARS_PREFIX="APP_").envs == {"zone": "1"}
    assert load(APP_ZONE="1", LEVADA_VARIABLES_ENV_VARS_PREFIX="").envs == {}


@pytest.mark.parametrize("text", [base64.b64encode(KEY).decode(), "0123456789abcdef0123456789abcdef"])
def test_the_encryption_key_is_base64_or_32_bytes(text: str) -> None:
    key = load(LEVADA_ENCRYPTION_KEY=text).encryption_key
    assert key is not None
    assert len(key) == 32


def test_show_names_sources_and_masks_secrets() -> None:
    loaded = load(
        LEVADA_DATABASE_URL="postgresql://me:pass@db:5432/levada",
        LEVADA_BASIC_AUTH_USERNAME="ada",
        LEVADA_BASIC_AUTH_PASSWORD="hunter2",
        LEVADA_WORKER_LEASE="PT45S",
    )
    shown = {line.path: line for line in loaded.show()}
    assert list(shown) == list(config.SPECS)
    assert shown["database.url"].value == "postgresql://me:********@db:5432/levada"
    assert shown["basic_auth.password"].value == "********"
    assert (shown["worker.lease"].value, shown["worker.lease"].source) == ("45s", "LEVADA_WORKER_LEASE")
    assert "hunter2" not in "".join(line.value for line in shown.values())


@pytest.mark.parametrize("url", ["postgresql:///db?password=geheim", "postgresql://[geheim", "geheim"])
def test_an_address_that_hides_its_password_elsewhere_is_masked_whole(url: str) -> None:
    assert "geheim" not in setting.shown(config.SPECS["database.url"], url)
