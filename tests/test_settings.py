"""Settings: where values come from, which are refused, and that the docs know them all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from endpoints_pipeline.errors import SettingsError
from endpoints_pipeline.settings import LOCAL_S3_SECRET_KEY, Settings, load_settings

_DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _empty_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    for name in list(os.environ):
        if name.upper().startswith("ENDPOINTS_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_a_default() -> None:
    settings = load_settings()

    assert settings.home_path == Path.cwd() / ".endpoints"
    assert settings.resolved_catalog_dsn == f"sqlite:///{Path.cwd()}/.endpoints/catalog.db"
    assert settings.resolved_warehouse == f"{Path.cwd()}/.endpoints/warehouse"
    assert settings.resolved_public_url == "http://127.0.0.1:8000"
    assert settings.resolved_dagster_url == "http://127.0.0.1:3000"
    assert settings.engine_is_embedded
    assert settings.s3_is_local


def test_the_environment_sets_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_API_PORT", "8001")

    assert load_settings().api_port == 8001
    assert load_settings().resolved_public_url == "http://127.0.0.1:8001"


def test_an_env_file_in_the_working_folder_sets_a_value() -> None:
    Path(".env").write_text("ENDPOINTS_API_PORT=8002\nSOMETHING_ELSE=1\n")

    assert load_settings().api_port == 8002


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ENDPOINTS_API_PORT=8002\nENDPOINTS_DAGSTER_PORT=3002\n")
    monkeypatch.setenv("ENDPOINTS_API_PORT", "8001")

    assert load_settings().api_port == 8001
    assert load_settings().dagster_port == 3002


def test_an_empty_catalog_dsn_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", "")

    assert load_settings().resolved_catalog_dsn.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENDPOINTS_API_PORT", "eighty"),
        ("ENDPOINTS_API_PORT", "65536"),
        ("ENDPOINTS_PROJECT_ID", "0"),
        ("ENDPOINTS_QUERY_TIMEOUT", "-1"),
        ("ENDPOINTS_SCHEDULE_SPREAD", "perhaps"),
        ("ENDPOINTS_S3_BUCKET", "ab"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_API_PORT", "eighty")
    monkeypatch.setenv("ENDPOINTS_REFRESH_RETRIES", "-1")

    with pytest.raises(SettingsError, match=r"ENDPOINTS_API_PORT.*ENDPOINTS_REFRESH_RETRIES"):
        load_settings()


@pytest.mark.parametrize(
    "url", ["https://s3.amazonaws.com", "http://127.0.0.1.example.com:8333", "http://10.0.0.7:8333"]
)
def test_the_local_s3_key_is_refused_for_any_other_s3(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ENDPOINTS_S3_ENDPOINT_URL", url)

    with pytest.raises(SettingsError, match="ENDPOINTS_S3_SECRET_KEY") as refused:
        load_settings()

    assert LOCAL_S3_SECRET_KEY not in str(refused.value)


def test_another_s3_with_a_key_of_its_own_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_S3_ENDPOINT_URL", "https://s3.amazonaws.com")
    monkeypatch.setenv("ENDPOINTS_S3_ACCESS_KEY", "AKIDEXAMPLE")
    monkeypatch.setenv("ENDPOINTS_S3_SECRET_KEY", "a-secret")

    assert not load_settings().s3_is_local


@pytest.mark.parametrize("url", ["http://127.0.0.1:8333", "http://localhost:8333", "http://[::1]:8333"])
def test_the_local_s3_key_is_for_loopback(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ENDPOINTS_S3_ENDPOINT_URL", url)

    assert load_settings().s3_is_local


def test_no_secret_shows_in_text_or_dumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_CATALOG_DSN", "postgresql://user:hush-one@host/db")
    monkeypatch.setenv("ENDPOINTS_ENGINE_DSN", "clickhouse://user:hush-two@host:8123/db")
    monkeypatch.setenv("ENDPOINTS_S3_ACCESS_KEY", "hush-three")
    monkeypatch.setenv("ENDPOINTS_S3_SECRET_KEY", "hush-four")
    settings = load_settings()

    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]

    assert not [text for text in shown if "hush" in text]
    assert settings.resolved_catalog_dsn == "postgresql://user:hush-one@host/db"


def test_a_bad_value_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDPOINTS_S3_SECRET_KEY", "hush")
    monkeypatch.setenv("ENDPOINTS_API_PORT", "eighty")

    with pytest.raises(SettingsError) as refused:
        load_settings()

    assert "hush" not in str(refused.value)


def test_settings_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().api_port = 1  # type: ignore[misc]


def test_dagsters_own_variable_names_its_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_settings().dagster_home_path == Path.cwd() / "dagster_home"

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))

    assert load_settings().dagster_home_path == tmp_path / "elsewhere"


def test_the_docs_have_every_setting_with_its_default_and_meaning() -> None:
    documented = re.findall(
        r"^\| `(ENDPOINTS_\w+)` \| (.*?) \| (.*) \|$", _DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert documented == [
        (f"ENDPOINTS_{name.upper()}", _default(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]


def _default(value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain in (None, ""):
        return "unset"
    return f"`{str(plain).lower()}`" if isinstance(plain, bool) else f"`{plain}`"
