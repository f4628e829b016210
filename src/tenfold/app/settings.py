"""The configuration: one `tenfold.toml`, every key also by environment, nothing unknown let through.

Values are read here and nowhere else. A mistake is reported with its place and the nearest valid name.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

RESERVED_ENVIRONMENT = frozenset({"TENFOLD_CONFIG", "TENFOLD_HOME", "TENFOLD_BOOTSTRAP_KEY"})


class SettingsError(Exception):
    """The configuration cannot be used; the message says where and what to write instead."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Table):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Serving processes.")
    max_body_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, le=1 << 30, description="Largest request body taken; a larger one is a 413."
    )
    max_in_flight: int = Field(
        4096, ge=1, le=1_000_000, description="Calls in flight per process; one more is a 503 with Retry-After."
    )
    shutdown_s: float = Field(30, ge=0, le=600, description="How long a stop waits for calls in flight.")


class DatabaseSettings(_Table):
    url: str | None = Field(
        None, description="postgresql:// DSN of an own Postgres; without it the embedded one is started."
    )
    pool_size: int = Field(8, ge=2, le=200, description="Connections per process.")


class PriceSettings(_Table):
    """USD per million tokens, for a model the price data does not know or a contract of your own."""

    input: Decimal = Field(ge=0, description="USD per million input tokens.")
    output: Decimal = Field(Decimal(0), ge=0, description="USD per million output tokens.")
    cache_read: Decimal | None = Field(None, ge=0, description="USD per million input tokens read from a cache.")
    cache_write: Decimal | None = Field(None, ge=0, description="USD per million input tokens written to a cache.")


class ProviderSettings(_Table):
    kind: Literal["openai", "anthropic", "gemini", "offline"] = Field(
        description="Which wire dialect the upstream speaks; `openai` is also any OpenAI-compatible server."
    )
    base_url: str | None = Field(None, description="As the vendor's own SDK takes it: OpenAI's ends in /v1.")
    api_key: str | None = Field(None, description='"env:NAME" or "file:PATH"; read at start, never shown again.')
    prices: str | None = Field(
        None, description="Whose price list applies (a provider id of the price data); default: told from base_url."
    )
    stream_usage: bool = Field(
        True, description="Ask the upstream for the usage frame of a stream (stream_options.include_usage)."
    )
    connect_timeout_s: float = Field(5, gt=0, le=300, description="Time to connect, TLS included.")
    first_byte_timeout_s: float = Field(600, gt=0, le=3600, description="Time from request to reply head.")
    idle_timeout_s: float = Field(120, gt=0, le=3600, description="Longest silence inside a reply.")
    max_connections: int = Field(4096, ge=1, le=65536, description="Connections to the upstream per process.")
    ca_file: Path | None = Field(None, description="PEM file of authorities to trust instead of the system's.")
    proxy: str | None = Field(None, description="http:// URL of a forward proxy.")

    @model_validator(mode="after")
    def _needs(self) -> "ProviderSettings":
        if self.kind != "offline" and not self.base_url:
            raise ValueError(f"a provider of kind {self.kind!r} needs base_url")
        if self.api_key is not None and not self.api_key.startswith(("env:", "file:")):
            raise ValueError('api_key must be "env:NAME" or "file:PATH", so that no key stands in this file')
        return self


class TargetSettings(_Table):
    provider: str = Field(description="Name of a [providers.*] table.")
    upstream: str | None = Field(None, description="The upstream's name of the model; default: the model's own name.")
    price: PriceSettings | None = Field(None, description="Own price; default: the dated price data.")


class ModelSettings(_Table):
    provider: str | None = Field(None, description="Name of a [providers.*] table.")
    upstream: str | None = Field(None, description="The upstream's name of the model; default: the model's own name.")
    price: PriceSettings | None = Field(None, description="Own price; default: the dated price data.")
    targets: list[TargetSettings] = Field(
        default_factory=list, description="Several upstreams, tried in this order; instead of `provider`."
    )

    @model_validator(mode="after")
    def _one_way(self) -> "ModelSettings":
        if bool(self.provider) == bool(self.targets):
            raise ValueError("a model names either `provider` or `[[targets]]`")
        return self


class CacheSettings(_Table):
    exact: Literal["never", "deterministic", "always"] = Field(
        "deterministic",
        description="Which calls the exact cache answers: `deterministic` = temperature 0, and embeddings.",
    )
    ttl_s: float = Field(3600, gt=0, le=31 * 86400, description="How long an answer may be served.")
    max_bytes: int = Field(64 * 1024 * 1024, ge=0, description="Memory of the exact cache per process.")
    max_entry_bytes: int = Field(1024 * 1024, ge=0, description="Larger answers are not kept.")

    @field_validator("exact", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return {True: "always", False: "never"}.get(value, value) if isinstance(value, bool) else value


class AssistantSettings(_Table):
    model: str = Field("offline-extractive", description="The model that answers on the Ask page and /api/v1/ask.")


class TelemetrySettings(_Table):
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")
    log_calls: bool = Field(True, description="Write one JSON line for each call.")
    otlp_endpoint: str | None = Field(None, description="OTLP/HTTP collector, e.g. http://127.0.0.1:4318.")
    otlp_headers: dict[str, str] = Field(default_factory=dict, description="Headers sent to the collector.")
    service_name: str = Field("tenfold", description="service.name of traces.")


class SecuritySettings(_Table):
    sign_up: bool = Field(True, description="Let people create a tenant on the Ask page.")
    secure_cookies: bool = Field(False, description="Mark cookies Secure; set it where TLS ends before Tenfold.")


class Settings(_Table):
    server: ServerSettings = Field(default_factory=lambda: ServerSettings())
    database: DatabaseSettings = Field(default_factory=lambda: DatabaseSettings())
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    cache: CacheSettings = Field(default_factory=lambda: CacheSettings())
    assistant: AssistantSettings = Field(default_factory=lambda: AssistantSettings())
    telemetry: TelemetrySettings = Field(default_factory=lambda: TelemetrySettings())
    security: SecuritySettings = Field(default_factory=lambda: SecuritySettings())
    home: Annotated[Path, Field(exclude=True)] = Path(".tenfold")
    bootstrap_key: Annotated[str | None, Field(exclude=True, repr=False, min_length=16)] = None

    @model_validator(mode="after")
    def _targets_exist(self) -> "Settings":
        for model, entry in self.models.items():
            for name in [entry.provider] if entry.provider else [target.provider for target in entry.targets]:
                if name not in self.providers:
                    hint = _nearest(name, self.providers)
                    raise ValueError(f'models."{model}" names provider {name!r}, which is not configured{hint}')
        return self


_TABLES = frozenset(Settings.model_fields) - {"home", "bootstrap_key"}


def load(
    config: Path | None, home: Path, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from the file (None: no file), the environment and the command line, weakest first.

    Raises SettingsError for the first mistake found, with file and line.
    """
    text, document = _read(config) if config else ("", {})
    for key in document:
        if key not in _TABLES:
            place = _place(config, text, (key,))
            raise SettingsError(f"{place}: unknown table [{key}]{_nearest(key, _TABLES)}")
    sources: dict[tuple[str, ...], str] = {}
    for path, value, name in _from_environment(environment, document):
        _put(document, path, value)
        sources[path] = name
    for table, values in (overrides or {}).items():
        for key, value in values.items():
            _put(document, (table, key), value)
    try:
        return Settings(**document, home=home, bootstrap_key=environment.get("TENFOLD_BOOTSTRAP_KEY") or None)
    except ValidationError as error:
        raise SettingsError(_explain(error, config, text, sources)) from None


def secret(reference: str | None, environment: Mapping[str, str], whose: str) -> str | None:
    """The value behind "env:NAME" or "file:PATH". Raises SettingsError naming the reference, never the value."""
    if reference is None:
        return None
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = environment.get(rest, "").strip()
        if not value:
            raise SettingsError(f"{whose}: api_key points to the environment variable {rest}, which is not set")
    else:
        try:
            value = Path(rest).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{whose}: api_key points to the file {rest}, which cannot be read: {error}") from None
    if not value.isascii() or not value.isprintable():
        raise SettingsError(f"{whose}: the key behind {reference} holds characters that no HTTP header can carry")
    return value


def describe() -> Iterator[tuple[str, str, str, str]]:
    """Every setting as (key, type, default, meaning): the source of the reference page."""
    for table, info in Settings.model_fields.items():
        if table not in _TABLES:
            continue
        model = _table_model(info)
        prefix = f"{table}.*" if _is_map(info) else table
        for key, field in model.model_fields.items():
            kind = re.sub(
                r"\btyping\.|\bpathlib\.\w*\.?|<class '|'>|tenfold\.app\.settings\.", "", str(field.annotation)
            )
            default = "required" if field.is_required() else str(field.get_default(call_default_factory=True))
            yield f"{prefix}.{key}", kind, default, field.description or ""


def _read(config: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = config.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise SettingsError(f"{config}: no such file; `--config` or TENFOLD_CONFIG names it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{config}: not valid TOML: {error}") from None


def _is_map(info: FieldInfo) -> bool:
    return str(info.annotation).startswith("dict")


def _table_model(info: FieldInfo) -> type[BaseModel]:
    annotation: Any = info.annotation
    model: type[BaseModel] = annotation.__args__[1] if _is_map(info) else annotation
    return model


def _from_environment(
    environment: Mapping[str, str], document: dict[str, Any]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(path, value, variable) of each TENFOLD_<TABLE>_<KEY>. Variables of no table of ours are left alone:
    orchestrators put such ones into every container (TENFOLD_SERVICE_HOST)."""
    for name, value in sorted(environment.items()):
        if not name.startswith("TENFOLD_") or name in RESERVED_ENVIRONMENT:
            continue
        table, _, rest = name.removeprefix("TENFOLD_").lower().partition("_")
        if table not in _TABLES or not rest:
            continue
        info = Settings.model_fields[table]
        keys = list(_table_model(info).model_fields)
        if not _is_map(info):
            if rest not in keys:
                names = [f"TENFOLD_{table}_{key}".upper() for key in keys]
                raise SettingsError(f"environment: unknown variable {name}{_nearest(name, names)}")
            yield (table, rest), value, name
            continue
        key = max((key for key in keys if rest.endswith(f"_{key}")), key=len, default=None)
        if key is None:
            raise SettingsError(f"environment: {name} ends in no key of [{table}.*]: {', '.join(keys)}")
        wanted = rest.removesuffix(f"_{key}")
        entry = next((e for e in document.get(table, {}) if re.sub(r"[^a-z0-9]", "_", e.lower()) == wanted), wanted)
        yield (table, entry, key), value, name


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value


def _nearest(name: str, valid: Any) -> str:
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(valid)) or 'none'}"


def _explain(error: ValidationError, config: Path | None, text: str, sources: dict[tuple[str, ...], str]) -> str:
    first = error.errors()[0]
    path = tuple(str(part) for part in first["loc"])
    if path == ("bootstrap_key",):
        return "environment: TENFOLD_BOOTSTRAP_KEY must have at least 16 characters"
    variable = next((name for at, name in sources.items() if at == path[: len(at)]), None)
    place = f"environment: {variable}" if variable else _place(config, text, path)
    shown = ".".join(f'"{part}"' if re.search(r"[^\w-]", part) else part for part in path)
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {shown}{_nearest(path[-1], _siblings(path))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {shown + ': ' if shown else ''}{message}"


def _siblings(path: tuple[str, ...]) -> list[str]:
    """The valid keys beside the last part of `path`."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        info = model.model_fields.get(part)
        if info is None:  # the free name of a map entry, or a list index
            continue
        match = re.search(r"(\w+Settings)", str(info.annotation))
        model = globals()[match.group(1)] if match else model
    return [key for key in model.model_fields if key not in ("home", "bootstrap_key")]


def _place(config: Path | None, text: str, path: tuple[str, ...]) -> str:
    """`tenfold.toml:12` where the deepest part of `path` that stands in the file is found."""
    if config is None:
        return "settings"
    table: tuple[str, ...] = ()
    best, depth = 0, 0
    wanted = tuple(part for part in path if not part.isdigit())
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?(.+?)\]\]?\s*(#.*)?$", line)
        if header:
            table = _key_parts(header.group(1))
            at = table
        else:
            assignment = re.match(r"\s*([^=#]+?)\s*=", line)
            if not assignment:
                continue
            at = table + _key_parts(assignment.group(1))
        if at == wanted[: len(at)] and len(at) > depth:
            best, depth = number, len(at)
    return f"{config}:{best}" if best else str(config)


def _key_parts(dotted: str) -> tuple[str, ...]:
    try:
        parsed: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return (dotted,)
    parts = []
    while isinstance(parsed, dict):
        key, parsed = next(iter(parsed.items()))
        parts.append(key)
    return tuple(parts)


def environment() -> Mapping[str, str]:
    """The process environment; the command line passes it in, tests pass their own."""
    return os.environ
