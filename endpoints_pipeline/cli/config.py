"""``endpoints config``: every setting, what it is now, and who says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from endpoints_pipeline.cli.output import AsJson, print_json, print_table

if TYPE_CHECKING:
    from endpoints_pipeline.settings import Settings

MASK = "**********"


def config(as_json: AsJson = False) -> None:
    """Show every setting: its value, and where that comes from.

    Secrets are masked.
    """
    from endpoints_pipeline.cli.session import begin

    settings = begin()
    shown = [
        {
            "setting": name,
            "variable": f"ENDPOINTS_{name.upper()}",
            "value": _shown(settings, name),
            "source": _source(settings, name),
            "description": field.description,
        }
        for name, field in type(settings).model_fields.items()
    ]
    if as_json:
        print_json(shown)
        return
    columns = ("variable", "value", "source")
    print_table(columns, ([str(line[column]) for column in columns] for line in shown), folding=["value"])


def masked_url(text: str) -> str:
    """A URL or DSN without the secrets in it; what can't be told apart for sure is masked as a whole."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return MASK
    userinfo, at, host = parts.netloc.rpartition("@")
    if parts.fragment or "@" in userinfo + parts.path + parts.query:  # an unescaped password with #, / or @ in it
        return MASK
    user, colon, _password = userinfo.partition(":")
    netloc = f"{user}:{MASK}{at}{host}" if colon else parts.netloc
    query = "&".join(f"{pair.partition('=')[0]}={MASK}" for pair in parts.query.split("&") if pair)
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{query}"


def _shown(settings: Settings, name: str) -> Any:
    """The value in effect: what an empty setting stands for instead of nothing."""
    from pydantic import SecretStr

    raw = getattr(settings, name)
    value = settings.home_path if name == "home" else getattr(settings, f"resolved_{name}", raw)
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(plain, str) and "://" in plain:
        return masked_url(plain)
    return MASK if isinstance(value, SecretStr) and plain else plain


def _source(settings: Settings, name: str) -> str:
    if name not in settings.model_fields_set:
        return "default"
    return "environment" if f"ENDPOINTS_{name}".upper() in map(str.upper, os.environ) else ".env"
