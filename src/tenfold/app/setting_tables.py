"""What can be set: one class for each table of `tenfold.toml`. How it is read is `settings`."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tenfold.app.job_tables import (
    BatchSettings,
    EgressSettings,
    FileSettings,
    JobSettings,
    ResponseSettings,
    WebhookSettings,
)
from tenfold.app.knowledge_tables import (
    AssistantSettings,
    PrecomputeSettings,
    RetrievalSettings,
    SmtpSettings,
    VectorStoreSettings,
)
from tenfold.app.routing_tables import BreakerSettings, FeatureSettings, RouteSettings, check_route
from tenfold.app.setting_parts import Mistake, Usd, amount_usd, nearest
from tenfold.app.setting_parts import Table as _Table
from tenfold.app.slo_tables import SloTables
from tenfold.core.money import NANO_PER_USD, format_usd
from tenfold.limits.types import MAX_AMOUNT, MAX_SLOTS


def _usd_rate(value: object) -> object:
    amount = amount_usd(value)
    if isinstance(amount, Decimal) and amount * NANO_PER_USD > MAX_AMOUNT:
        raise ValueError(f"a rate is at most {format_usd(MAX_AMOUNT)} USD")
    return amount


def _referenced(value: str | None, key: str) -> None:
    if value is not None and not value.startswith(("env:", "file:")):
        raise ValueError(f'{key} must be "env:NAME" or "file:PATH", so that no secret stands in this file')


UsdRate = Annotated[Decimal | None, BeforeValidator(_usd_rate)]
Count = Annotated[int | None, Field(ge=1, le=1_000_000_000)]
Slots = Annotated[int | None, Field(ge=1, le=MAX_SLOTS)]

_MAX_PRICE = 1_000_000  # USD per million tokens; more is a slip of the hand
_MAX_TOKENS = 100_000_000  # of one call
_LOOKUP = re.compile(r"/[\w\-./?=&~]*\{request_id\}[\w\-./?=&~]*", re.ASCII)
_VALKEY_URL = re.compile(r"(redis|rediss|valkey|valkeys|unix)://\S+")
_HTTP_URL = re.compile(r"https?://\S+")


def _valkey_url(url: str | None) -> str | None:
    if url is not None and not _VALKEY_URL.fullmatch(url):
        raise ValueError("valkey_url must begin with redis://, rediss:// or unix://")
    return url


class ServerSettings(_Table):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Serving processes.")
    max_body_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, le=1 << 30, description="Largest request body taken; a larger one is a 413."
    )
    max_in_flight: int = Field(
        4096, ge=1, le=1_000_000, description="Calls in flight per process; further ones wait for their turn."
    )
    max_waiting: int = Field(
        1024, ge=0, le=1_000_000, description="Calls per process that wait their tenant's turn; one more is a 503."
    )
    max_wait_s: float = Field(
        5, ge=0, le=600, description="Longest wait for a turn; then the call is a 503 with Retry-After. 0: none waits."
    )
    shutdown_s: float = Field(30, ge=0, le=600, description="How long a stop waits for calls in flight.")


class DatabaseSettings(_Table):
    url: str | None = Field(
        None, description="postgresql:// DSN of an own Postgres; without it the embedded one is started."
    )
    pool_size: int = Field(8, ge=2, le=200, description="Connections per process.")


class PriceSettings(_Table):
    """USD per million tokens, for a model the price data does not know or a contract of your own."""

    input: Decimal = Field(ge=0, le=_MAX_PRICE, description="USD per million input tokens.")
    output: Decimal = Field(Decimal(0), ge=0, le=_MAX_PRICE, description="USD per million output tokens.")
    cache_read: Decimal | None = Field(
        None, ge=0, le=_MAX_PRICE, description="USD per million input tokens read from a cache."
    )
    cache_write: Decimal | None = Field(
        None, ge=0, le=_MAX_PRICE, description="USD per million input tokens written to a cache."
    )


class ProviderSettings(_Table):
    kind: Literal["openai", "anthropic", "gemini", "offline"] = Field(
        description="Which wire dialect the upstream speaks; `openai` is also any OpenAI-compatible server."
    )
    base_url: str | None = Field(None, description="As the vendor's own SDK takes it: OpenAI's ends in /v1.")
    api_key: str | None = Field(None, description='"env:NAME" or "file:PATH"; read at start, never shown again.')
    api_keys: list[str] = Field(
        default_factory=list,
        description="Several such references, in place of api_key: calls are spread over the keys.",
    )
    region: str | None = Field(None, description="Where it computes, for routes that allow certain `regions` only.")
    max_concurrency: int = Field(
        4096,
        ge=1,
        le=65536,
        description="Most calls at once with each key, per process; fewer when the provider is found to take fewer.",
    )
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
    heeds_idempotency_key: bool = Field(
        False,
        description="The upstream answers a request that comes again with the same `Idempotency-Key` with its first "
        "answer and takes nothing for it; failures it does not keep. A call of a job that was broken off then costs "
        "once.",
    )
    usage_lookup: str | None = Field(
        None,
        description="Path, appended to base_url, where the upstream tells afterwards what a call used, such as "
        '"/usage/{request_id}"; puts estimates of broken calls right.',
    )
    batch_tier: bool | None = Field(
        None,
        description="Whether it has a batch tier as OpenAI (kind openai) or Anthropic (kind anthropic) have it; "
        "default: those two have, by base_url.",
    )
    ca_file: Path | None = Field(None, description="PEM file of authorities to trust instead of the system's.")
    proxy: str | None = Field(None, description="http:// URL of a forward proxy.")

    @model_validator(mode="after")
    def _needs(self) -> "ProviderSettings":
        if self.kind != "offline" and not self.base_url:
            raise ValueError(f"a provider of kind {self.kind!r} needs base_url")
        for key in self.keys:
            _referenced(key, "api_key")
        if self.api_key is not None and self.api_keys:
            raise Mistake("give api_key or api_keys, not both", "api_keys")
        if len(set(self.api_keys)) != len(self.api_keys):
            raise Mistake("a key is named twice", "api_keys")
        if self.usage_lookup is not None and not _LOOKUP.fullmatch(self.usage_lookup):
            raise ValueError("usage_lookup must be a path with {request_id} in it, such as /usage/{request_id}")
        return self

    @property
    def keys(self) -> list[str]:
        """References to the keys there are."""
        return self.api_keys or ([self.api_key] if self.api_key is not None else [])


class TargetSettings(_Table):
    provider: str = Field(description="Name of a [providers.*] table.")
    upstream: str | None = Field(None, description="The upstream's name of the model; default: the model's own name.")
    price: PriceSettings | None = Field(None, description="Own price; default: the dated price data.")
    weight: int = Field(1, ge=1, le=1_000_000, description='Share of the calls, with balance = "weights".')


class ModelSettings(_Table):
    provider: str | None = Field(None, description="Name of a [providers.*] table.")
    upstream: str | None = Field(None, description="The upstream's name of the model; default: the model's own name.")
    price: PriceSettings | None = Field(None, description="Own price; default: the dated price data.")
    targets: list[TargetSettings] = Field(
        default_factory=list, description="Several upstreams, tried in this order; instead of `provider`."
    )

    balance: Literal["order", "latency", "weights"] = Field(
        "order",
        description="How calls are spread over the targets: in order, to the less loaded of two drawn, or by weight.",
    )
    max_request_usd: Usd = Field(
        None, description="What one call of this model may cost at most, in place of budgets.max_request_usd."
    )
    max_input_tokens: int | None = Field(
        None, ge=1, le=_MAX_TOKENS, description="Most input the model takes, where the model data does not know it."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=_MAX_TOKENS, description="Most output the model gives, where the model data does not know it."
    )
    micro_batch_ms: float = Field(
        0,
        ge=0,
        le=1000,
        description="How long a call for embeddings waits for others to share one request to the provider; 0: it does "
        "not.",
    )
    micro_batch_inputs: int = Field(32, ge=2, le=2048, description="Most inputs of such a shared request.")

    @model_validator(mode="after")
    def _one_way(self) -> "ModelSettings":
        if bool(self.provider) == bool(self.targets):
            raise ValueError("a model names either `provider` or `[[targets]]`")
        for number, target in enumerate(self.targets):
            if "weight" in target.model_fields_set and self.balance != "weights":
                raise Mistake('weight is given, and balance is not "weights"', "targets", number, "weight")
        return self

    @property
    def providers(self) -> list[str]:
        """Of each target, in order."""
        return [self.provider] if self.provider else [target.provider for target in self.targets]


class CacheSettings(_Table):
    exact: Literal["never", "deterministic", "always"] = Field(
        "deterministic",
        description="Which calls the exact cache answers: `deterministic` = temperature 0, and embeddings.",
    )
    ttl_s: float = Field(3600, gt=0, le=31 * 86400, description="How long an answer may be served.")
    max_bytes: int = Field(64 * 1024 * 1024, ge=0, description="Memory of the exact cache per process.")
    max_entry_bytes: int = Field(1024 * 1024, ge=0, description="Larger answers are not kept.")
    valkey_url: str | None = Field(
        None,
        description="redis:// or rediss:// URL of a Valkey or Redis server where processes share answers.",
        repr=False,
    )
    coalesce: bool = Field(
        True, description="Let identical calls in flight, of the kind the exact cache answers, share one provider call."
    )
    semantic: Literal["off", "on_request", "always"] = Field(
        "on_request",
        description="Which calls the semantic cache answers: `on_request` = those that say `semantic` in "
        "Tenfold-Cache-Control.",
    )
    max_false_hits: float = Field(
        0.01, gt=0, le=0.5, description="Of the answers that the semantic cache gives, at most this share may be wrong."
    )
    check_share: float = Field(
        0.05, gt=0, le=1, description="This share of its answers is checked: the model is asked all the same."
    )
    semantic_ttl_s: float = Field(86400, gt=0, le=366 * 86400, description="How long it may give an answer.")
    semantic_max_entries: int = Field(
        20_000, ge=0, le=1_000_000, description="Answers it keeps of a tenant; the oldest give way."
    )
    semantic_max_bytes: int = Field(128 * 1024 * 1024, ge=0, description="Memory for its scopes per process, about.")

    @field_validator("semantic", mode="before")
    @classmethod
    def _semantic_switch(cls, value: object) -> object:
        return {True: "always", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("exact", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return {True: "always", False: "never"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("valkey_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        return _valkey_url(value)


class LimitSettings(_Table):
    """Rates that hold unless a limit made for the tenant says otherwise. Left out: no limit."""

    key_requests_per_minute: Count = Field(None, description="Requests of each key.")
    key_tokens_per_minute: Count = Field(None, description="Tokens of each key, input and output.")
    key_usd_per_hour: UsdRate = Field(None, description="Spend of each key, USD.")
    key_concurrency: Slots = Field(None, description="Calls of each key at once.")
    tenant_requests_per_minute: Count = Field(None, description="Requests of each tenant.")
    tenant_tokens_per_minute: Count = Field(None, description="Tokens of each tenant, input and output.")
    tenant_usd_per_hour: UsdRate = Field(None, description="Spend of each tenant, USD.")
    tenant_concurrency: Slots = Field(None, description="Calls of each tenant at once.")
    model_requests_per_minute: Count = Field(None, description="Requests of each tenant to each model.")
    model_tokens_per_minute: Count = Field(None, description="Tokens of each tenant at each model, input and output.")
    model_usd_per_hour: UsdRate = Field(None, description="Spend of each tenant at each model, USD.")
    model_concurrency: Slots = Field(None, description="Calls of each tenant to each model at once.")
    end_user_requests_per_minute: Count = Field(None, description="Requests of each end user of a tenant.")
    end_user_tokens_per_minute: Count = Field(None, description="Tokens of each end user of a tenant.")
    end_user_usd_per_hour: UsdRate = Field(None, description="Spend of each end user of a tenant, USD.")
    end_user_concurrency: Slots = Field(None, description="Calls of each end user of a tenant at once.")
    shared: Literal["auto", "process", "postgres", "valkey"] = Field(
        "auto",
        description="Where processes share a limit: `auto` is Valkey where valkey_url is set, else Postgres, and the "
        "process itself while it is the only one; `process` gives each process the whole limit.",
    )
    valkey_url: str | None = Field(
        None, description="redis:// or rediss:// URL of a Valkey or Redis server.", repr=False
    )

    @model_validator(mode="after")
    def _reachable(self) -> "LimitSettings":
        if self.shared == "valkey" and self.valkey_url is None:
            raise ValueError('shared = "valkey" needs valkey_url')
        _valkey_url(self.valkey_url)
        return self


class BudgetSettings(_Table):
    """What holds for every tenant beside the budgets made for it. Left out: no limit."""

    max_request_usd: Usd = Field(None, description="What one call may cost at most, USD; more needs an approval.")
    run_usd: Usd = Field(None, description="What each agent run (`Tenfold-Run`) may cost in total, USD.")
    tenant_usd_per_day: Usd = Field(None, description="What each tenant may spend in a day (UTC), USD.")
    tenant_usd_per_month: Usd = Field(None, description="What each tenant may spend in a month (UTC), USD.")
    default_price: PriceSettings | None = Field(
        None, description="Price of models whose price is not known; without it their calls are refused."
    )
    broken_streams: Literal["bound", "received"] = Field(
        "bound",
        description="What a stream that broke before the provider told its usage is charged: the most it can have "
        "cost, or what arrived of it. Either way marked as estimated and corrected when the provider tells.",
    )


class IdempotencySettings(_Table):
    ttl_s: float = Field(86_400, gt=0, le=31 * 86_400, description="How long an `Idempotency-Key` is remembered.")
    max_body_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest reply kept for a replay."
    )


class AlertSettings(_Table):
    webhook_url: str | None = Field(None, description="http(s) URL that every budget alert is posted to.")
    webhook_secret: str | None = Field(
        None, description='"env:NAME" or "file:PATH" of the secret (whsec_...) that signs it (Standard Webhooks).'
    )

    @model_validator(mode="after")
    def _signed(self) -> "AlertSettings":
        _referenced(self.webhook_secret, "webhook_secret")
        if self.webhook_url is not None and not _HTTP_URL.fullmatch(self.webhook_url):
            raise ValueError("webhook_url must begin with https:// or http://")
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("webhook_url needs webhook_secret: alerts are signed, so that nobody else can send them")
        return self


class LedgerSettings(_Table):
    retention_days: int | None = Field(
        None, ge=35, le=36_500, description="Receipts older than this are deleted; left out: they are kept."
    )


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
    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    features: dict[str, FeatureSettings] = Field(default_factory=dict)
    breakers: BreakerSettings = Field(default_factory=lambda: BreakerSettings())
    cache: CacheSettings = Field(default_factory=lambda: CacheSettings())
    limits: LimitSettings = Field(default_factory=lambda: LimitSettings())
    budgets: BudgetSettings = Field(default_factory=lambda: BudgetSettings())
    idempotency: IdempotencySettings = Field(default_factory=lambda: IdempotencySettings())
    jobs: JobSettings = Field(default_factory=lambda: JobSettings())
    responses: ResponseSettings = Field(default_factory=lambda: ResponseSettings())
    files: FileSettings = Field(default_factory=lambda: FileSettings())
    retrieval: RetrievalSettings = Field(default_factory=lambda: RetrievalSettings())
    vector_stores: VectorStoreSettings = Field(default_factory=lambda: VectorStoreSettings())
    batches: BatchSettings = Field(default_factory=lambda: BatchSettings())
    webhooks: WebhookSettings = Field(default_factory=lambda: WebhookSettings())
    egress: EgressSettings = Field(default_factory=lambda: EgressSettings())
    alerts: AlertSettings = Field(default_factory=lambda: AlertSettings())
    ledger: LedgerSettings = Field(default_factory=lambda: LedgerSettings())
    assistant: AssistantSettings = Field(default_factory=lambda: AssistantSettings())
    precompute: PrecomputeSettings = Field(default_factory=lambda: PrecomputeSettings())
    smtp: SmtpSettings = Field(default_factory=lambda: SmtpSettings())
    slo: SloTables = Field(default_factory=dict)
    telemetry: TelemetrySettings = Field(default_factory=lambda: TelemetrySettings())
    security: SecuritySettings = Field(default_factory=lambda: SecuritySettings())
    home: Annotated[Path, Field(exclude=True)] = Path(".tenfold")
    bootstrap_key: Annotated[str | None, Field(exclude=True, repr=False, min_length=16)] = None

    @model_validator(mode="after")
    def _targets_exist(self) -> "Settings":
        for model, entry in self.models.items():
            for number, name in enumerate(entry.providers):
                if name not in self.providers:
                    hint = nearest(name, self.providers)
                    key = ("provider",) if entry.provider else ("targets", number, "provider")
                    raise Mistake(f"names provider {name!r}, which is not configured{hint}", "models", model, *key)
        return self

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> "Settings":
        for name, route in self.routes.items():
            check_route(name, route, self.models, self.routes, self._regions_of)
        return self

    @model_validator(mode="after")
    def _answers_are_kept(self) -> "Settings":
        for name, feature in self.features.items():
            if "stale" in feature.degrade and not (self.cache.max_bytes and self.cache.max_entry_bytes):
                raise Mistake(
                    'the step "stale" needs answers that are kept, and [cache] keeps none', "features", name, "degrade"
                )
        return self

    def _regions_of(self, model: str) -> list[str | None]:
        """Of each target, once for each key of its provider."""
        sellers = [self.providers[name] for name in self.models[model].providers]
        return [seller.region for seller in sellers for _ in range(max(1, len(seller.keys)))]
