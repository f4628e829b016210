"""What can be set of documents and of what answers from them: one class for each table of `tenfold.toml`."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tenfold.app.setting_parts import Mistake, Table, amount_usd
from tenfold.core.errors import InvalidRequest
from tenfold.jobs.schedules.cron import zone_named

_TICKET_URL = re.compile(r"https?://\S*\{ticket\}\S*")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


class RetrievalSettings(Table):
    embedder: str = Field(
        "offline",
        min_length=1,
        description="Who makes the vectors of documents: `offline`, the bundled model, or the name of a model that "
        "calls can be made to; its calls are charged to the tenant whose documents they are.",
    )


class VectorStoreSettings(Table):
    """Limits of each tenant, and of the files that are read."""

    max_stores: int = Field(1000, ge=1, le=1_000_000, description="Vector stores a tenant may have.")
    max_files: int = Field(10_000, ge=1, le=1_000_000, description="Files in one vector store.")
    max_bytes: int = Field(1024**3, ge=1024, description="Text of all vector stores of a tenant together.")
    max_file_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, le=512 * 1024 * 1024, description="Largest file that is read into a vector store."
    )
    read_seconds: int = Field(60, ge=1, le=3600, description="Processor time that reading one file may take.")
    read_memory_bytes: int = Field(1024**3, ge=256 * 1024 * 1024, description="Memory of the process that reads files.")


class AssistantSettings(Table):
    """The support assistant: the Ask page, /api/v1/ask, support tickets and the widget."""

    model: str = Field("offline-extractive", description="The model that answers.")
    larger_model: str | None = Field(
        None, description="Asked where the answer of `model` is not trusted; left out: none is."
    )
    escalate_below: float = Field(
        0.5, ge=0, le=1, description="Confidence in an answer below which `larger_model` is asked."
    )
    hand_off: tuple[Literal["asked", "abstained", "degraded", "unhelpful"], ...] = Field(
        ("asked", "abstained", "degraded"),
        description="What hands a support ticket to a person by itself.",
    )
    hand_off_below: float = Field(
        0.0, ge=0, le=1, description="Confidence in an answer below which its ticket goes to a person as well."
    )
    keep_days: int = Field(
        90, ge=1, le=3650, description="Support tickets in which nothing happened for so long are deleted."
    )
    ticket_url: str | None = Field(
        None, description="Address of your own page of a ticket, with {ticket} in it; stands in e-mails."
    )

    @field_validator("ticket_url")
    @classmethod
    def _leads_to_a_ticket(cls, value: str | None) -> str | None:
        if value is not None and not _TICKET_URL.fullmatch(value):
            raise ValueError("an http:// or https:// address with {ticket} in it")
        return value


class SmtpSettings(Table):
    """The mail server that answers of support tickets are handed to."""

    host: str | None = Field(None, description="Name of the mail server; left out: no mail is sent.")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="How the connection is encrypted.")
    sender: str = Field("", description="Address that mails come from.")
    sender_name: str = Field("", description="Name beside it.")
    username: str | None = Field(None, description="Who logs in there.")
    password: str | None = Field(None, description='"env:NAME" or "file:PATH".', repr=False)
    timeout_s: float = Field(20, ge=1, le=300, description="How long handing a mail over may take.")

    @model_validator(mode="after")
    def _has_a_sender(self) -> "SmtpSettings":
        if self.host is not None and not _ADDRESS.fullmatch(self.sender):
            raise Mistake("one address is needed, such as support@example.com", "sender")
        return self


class PrecomputeSettings(Table):
    """Frequent questions of the support assistant, answered ahead of time at a quiet time of the day."""

    enabled: bool = Field(False, description="Counts what is asked, and answers frequent questions ahead of time.")
    at: str = Field("03:00", description="Time of day, hh:mm, from which on the run of the day may begin.")
    zone: str = Field("UTC", description="Time zone of `at`, such as Europe/Berlin.")
    budget_usd: Annotated[Decimal, BeforeValidator(amount_usd)] = Field(
        Decimal(1), le=1000, description="What one run may cost a tenant at most."
    )
    min_askers: int = Field(
        5, ge=2, le=1000, description="So many people must have asked a question before its words are kept."
    )
    most_questions: int = Field(50, ge=1, le=1000, description="Questions of one run at most.")
    public: bool = Field(
        False, description="Whether keys of web pages may read the answers, at `/api/v1/support/popular`."
    )

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if not _TIME.fullmatch(value):
            raise ValueError("a time of day, such as 03:00")
        return value

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            zone_named(value)
        except InvalidRequest as error:
            raise ValueError(error.message.removeprefix("zone: ")) from None
        return value
