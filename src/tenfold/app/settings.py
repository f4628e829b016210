"""The configuration: one `tenfold.toml`, every key also by environment, nothing unknown let through.

Values are read here and nowhere else. A mistake is reported with its place and the nearest valid name.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tenfold.app.setting_parts import Mistake, nearest
from tenfold.app.setting_tables import (
    BudgetSettings,
    LimitSettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
)

__all__ = [
    "RESERVED_ENVIRONMENT",
    "BudgetSettings",
    "LimitSettings",
    "ModelSettings",
    "PriceSettings",
    "ProviderSettings",
    "Settings",
    "SettingsError",
    "describe",
    "environment",
    "load",
    "secret",
]

RESERVED_ENVIRONMENT = frozenset({"TENFOLD_CONFIG", "TENFOLD_HOME", "TENFOLD_BOOTSTRAP_KEY"})


class SettingsError(Exception):
    """The configuration cannot be used; the message says where and what to write instead."""


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
            raise SettingsError(f"{place}: unknown table [{key}]{nearest(key, _TABLES)}")
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


def secret(reference: str | None, environment: Mapping[str, str], whose: str, key: str = "api_key") -> str | None:
    """The value behind "env:NAME" or "file:PATH", which `key` of the table `whose` holds. Raises SettingsError naming
    the reference, never the value."""
    if reference is None:
        return None
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = environment.get(rest, "").strip()
        if not value:
            raise SettingsError(f"{whose}: {key} points to the environment variable {rest}, which is not set")
    else:
        try:
            value = Path(rest).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{whose}: {key} points to the file {rest}, which cannot be read: {error}") from None
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
                r"\btyping\.|\bdecimal\.|\bpathlib\.\w*\.?|<class '|'>|tenfold\.app\.\w+_tables\.",
                "",
                str(_without_checks(field.annotation)),
            )
            default = "required" if field.is_required() else str(field.get_default(call_default_factory=True))
            yield f"{prefix}.{key}", kind, default, field.description or ""


def _without_checks(annotation: Any) -> Any:
    """The type alone, of what a list or a map holds as well."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _without_checks(parts[0])
    return origin[tuple(map(_without_checks, parts))] if origin in (list, dict) else annotation


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
                raise SettingsError(f"environment: unknown variable {name}{nearest(name, names)}")
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


def _explain(error: ValidationError, config: Path | None, text: str, sources: dict[tuple[str, ...], str]) -> str:
    first = error.errors()[0]
    mistake = first.get("ctx", {}).get("error")
    path = tuple(str(part) for part in first["loc"]) + (mistake.path if isinstance(mistake, Mistake) else ())
    if path == ("bootstrap_key",):
        return "environment: TENFOLD_BOOTSTRAP_KEY must have at least 16 characters"
    place = _place(config, text, path)
    variable = next((name for at, name in sources.items() if at == path[: len(at)]), None)
    if variable is None and place == str(config):  # the file has nothing of it: a whole table by environment
        variable = next((name for at, name in sources.items() if path == at[: len(path)]), None)
    if variable is not None:
        place = f"environment: {variable}"
    shown = ".".join(f'"{part}"' if re.search(r"[^\w-]", part) else part for part in path)
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key {shown}{nearest(path[-1], _siblings(path))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {shown + ': ' if shown else ''}{message}"


def _siblings(path: tuple[str, ...]) -> list[str]:
    """The valid keys beside the last part of `path`."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        info = model.model_fields.get(part)
        if info is None:  # the free name of a map entry, or a list index
            continue
        model = _model_in(info.annotation) or model
    return [key for key in model.model_fields if key not in ("home", "bootstrap_key")]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a key holds: itself, or of a list, a map or an optional one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)


def _place(config: Path | None, text: str, path: tuple[str, ...]) -> str:
    """`tenfold.toml:12` where the deepest part of `path` that stands in the file is found."""
    if config is None:
        return "settings"
    table: tuple[str, ...] = ()
    best, depth = 0, 0
    seen: dict[tuple[str, ...], int] = {}  # arrays of tables, and how many elements they have so far
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)(.+?)\]\]?\s*(#.*)?$", line)
        if header:
            named = _key_parts(header.group(2))
            if header.group(1) == "[[":
                seen[named] = seen.get(named, 0) + 1
            table = at = _numbered(named, seen)
        else:
            assignment = re.match(r"\s*([^=#]+?)\s*=", line)
            if not assignment:
                continue
            at = table + _key_parts(assignment.group(1))
        if at == path[: len(at)] and len(at) > depth:
            best, depth = number, len(at)
    return f"{config}:{best}" if best else str(config)


def _numbered(named: tuple[str, ...], seen: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """With the number of the element behind the name of each array of tables: a header speaks of its last one."""
    parts: list[str] = []
    for length, part in enumerate(named, 1):
        parts.append(part)
        if named[:length] in seen:
            parts.append(str(seen[named[:length]] - 1))
    return tuple(parts)


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
