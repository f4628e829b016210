"""What can be set of durable work: one class for each table of `tenfold.toml`."""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tenfold.app.setting_parts import Table


class JobSettings(Table):
    """Durable work: background responses, batches, tickets, webhooks, schedules."""

    in_server: bool = Field(True, description="Serving processes do jobs, too; else `tenfold worker` does them all.")
    slots: int = Field(32, ge=1, le=4096, description="Jobs at once, per process.")
    max_waiting: int = Field(10_000, ge=1, le=1_000_000, description="Jobs of a tenant that may wait; then 429.")
    max_waiting_bytes: int = Field(256 * 1024 * 1024, ge=1024, description="Bytes of the input of those.")
    max_waiting_all: int = Field(100_000, ge=1, le=10_000_000, description="Jobs of all tenants; then 503.")
    plan_weights: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(
        default_factory=dict,
        description="How often a tenant has its turn, by its plan, such as { pro = 4 }; of others the weight of their "
        "rate limits counts, which is 1 unless set.",
    )
    max_input_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest input of a job, such as a call that waits."
    )
    repeat_interrupted: bool = Field(
        True,
        description="A provider call whose process was killed is asked again. False: its job ends as a dead letter, so "
        "that no provider can be paid twice for it.",
    )
    dead_letter_alert_s: float = Field(
        3600, gt=0, description="Dead letters older than this are told to the alerts' webhook and the log."
    )


class ResponseSettings(Table):
    keep_days: int = Field(30, ge=1, le=3650, description="How long a stored response is kept.")
    max_input_bytes: int = Field(
        8 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Largest input of a response, that of all those together that it goes on from.",
    )


class FileSettings(Table):
    max_bytes: int = Field(512 * 1024 * 1024, ge=1024, description="Largest file that may be uploaded.")
    max_tenant_bytes: int = Field(4 * 1024**3, ge=1024, description="All files of a tenant together.")


class BatchSettings(Table):
    concurrency: int = Field(16, ge=1, le=1024, description="Lines of one batch that are asked at once.")
    provider_tier: Literal["never", "auto"] = Field(
        "never",
        description="Whether lines are handed over to the provider's own batch tier: `auto` = where the batch has a "
        "day for it, and the price there is known.",
    )


class WebhookSettings(Table):
    """Events posted to the URLs that tenants give."""

    timeout_s: float = Field(15, ge=1, le=60, description="Time of an endpoint until its answer begins.")
    keep_days: int = Field(30, ge=1, le=365, description="How long the log of deliveries is kept.")
    disable_after_days: float = Field(
        5, gt=0, le=365, description="An endpoint that took nothing for so long is disabled."
    )


class EgressSettings(Table):
    """Where the URLs that tenants give may lead to: public addresses over https, and what stands here."""

    allow: list[str] = Field(
        default_factory=list,
        description='Networks that may be reached although they are not public, such as "10.1.0.0/16"; there over '
        "http and on any port, too.",
    )
    allow_http: bool = Field(False, description="Public addresses may be called over http, too.")

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: list[str]) -> list[str]:
        for network in allow:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"{network!r} is no network: {error}") from None
        return allow
