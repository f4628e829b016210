"""The fault matrix: every fault x provider dialect x policy x client dialect x whole or streamed, and the configuration
of the Tenfold that serves it. Values only.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from tenfold.app.faults.answers import PIECES
from tenfold.app.faults.values import fitting
from tenfold.app.faults.wires import Dialect

Client = Literal["openai", "anthropic"]
Policy = Literal["single", "fallback", "restart", "hold"]

PROVIDER_DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
CLIENTS: tuple[Client, ...] = get_args(Client)
WHOLE_POLICIES: tuple[Policy, ...] = ("single", "fallback")
STREAM_POLICIES: tuple[Policy, ...] = get_args(Policy)

PATIENCE_S = 1.0  # first token, next token, silence inside a reply
DEADLINE_S = 4.0
GRACE_S = 1.5  # a call that has not ended so long after its deadline hangs

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
TEXT = "".join(PIECES)


class Trouble(Struct, frozen=True, kw_only=True):
    """A fault of the matrix. `heavy`: so many bytes that few such calls run at once; `schema`: a JSON answer is asked
    for; `texts`: what a complete reply may say."""

    spec: str
    heavy: bool = False
    schema: bool = False
    texts: tuple[str, ...] = (TEXT,)


def _plain(*specs: str) -> tuple[Trouble, ...]:
    return tuple(Trouble(spec=spec) for spec in specs)


TROUBLES: tuple[Trouble, ...] = (
    *_plain("none", "latency=uniform:5ms:50ms"),
    *_plain("status=401", "status=429", "status=429:1s", "status=500", "status=503:1s", "status=529"),
    *_plain("hang", "hang=after-head", "hang=mid-stream", "reset", "reset=mid-stream"),
    *_plain("mid-stream-cut", "mid-stream-cut=0", "mid-stream-cut=1"),
    *_plain("mid-stream-end", "mid-stream-end=0", "mid-stream-end=1", "mid-stream-end=12"),
    *_plain("error-event", "error-event=0", "malformed", "malformed=chunk", "html", "empty", "redirect"),
    *_plain("drip=1ms", "drip=20ms", "usage=missing", "usage=zero", "usage=absurd"),
    Trouble(spec="duplicate-frames", texts=(TEXT, "".join(piece * 2 for piece in PIECES))),
    Trouble(spec="none", schema=True, texts=(fitting(SCHEMA),)),
    Trouble(spec="off-schema", schema=True, texts=(fitting(SCHEMA),)),
    Trouble(spec="off-schema=cut", schema=True, texts=(fitting(SCHEMA),)),
    Trouble(spec="oversize=header", heavy=True),
    Trouble(spec="oversize=body", heavy=True),
    Trouble(spec="oversize=event", heavy=True),
    Trouble(spec="gzip-bomb", heavy=True),
)

SHORT = frozenset(
    (
        *("none", "status=503:1s", "status=429:1s", "hang=mid-stream", "reset", "mid-stream-cut", "mid-stream-end"),
        *("error-event", "malformed=chunk", "html", "empty", "usage=missing", "off-schema", "oversize=header"),
    )
)
"""What a short run takes of them."""


class Cell(Struct, frozen=True, kw_only=True):
    number: int  # of its trouble
    trouble: Trouble
    provider: Dialect
    policy: Policy
    client: Client
    stream: bool

    @property
    def route(self) -> str:
        return f"{_model(self.number, self.provider)}.{self.policy}"

    @property
    def name(self) -> str:
        """For a person."""
        how = "stream" if self.stream else "whole"
        return f"{self.trouble.spec} | {self.client} client, {self.provider} provider, {how}, {self.policy}"


def cells(troubles: Sequence[Trouble] = TROUBLES, providers: Sequence[Dialect] = PROVIDER_DIALECTS) -> list[Cell]:
    return [
        Cell(number=number, trouble=trouble, provider=provider, policy=policy, client=client, stream=stream)
        for number, trouble in enumerate(troubles)
        for provider in providers
        for client in CLIENTS
        for stream in (False, True)
        for policy in (STREAM_POLICIES if stream else WHOLE_POLICIES)
    ]


def body_of(cell: Cell) -> dict[str, Any]:
    """What the client asks."""
    body: dict[str, Any] = {
        "model": cell.route,
        "messages": [{"role": "user", "content": "Say something."}],
        "max_tokens": 500,
        "stream": cell.stream,
    }
    if cell.trouble.schema and cell.client == "openai":
        wanted = {"name": "answer", "schema": SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif cell.trouble.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return body


def configuration(matrix: Sequence[Cell], port: int) -> str:
    """The tenfold.toml; `port`: the faulty provider's. Each trouble has providers of its own, so that what is learnt
    of one does not colour another; breakers are kept closed, since each call is to meet its fault."""
    kinds = dict.fromkeys((cell.number, cell.trouble.spec, cell.provider) for cell in matrix)
    routes = dict.fromkeys((cell.number, cell.provider, cell.policy) for cell in matrix)
    lines = ["[breakers]", "min_failures = 10000", "", "[telemetry]", "log_calls = false", ""]
    for dialect in PROVIDER_DIALECTS:
        lines += _upstream(_good(dialect), dialect, "fault:none", port)
    for number, spec, dialect in kinds:
        lines += _upstream(_model(number, dialect), dialect, f"fault:{spec}", port)
    for number, dialect, policy in routes:
        lines += _route(number, dialect, policy)
    return "\n".join(lines)


def provider_lines(name: str, dialect: Dialect, port: int) -> list[str]:
    base = f"http://127.0.0.1:{port}" + ("/v1" if dialect == "openai" else "")
    return [f'[providers."{name}"]', f'kind = "{dialect}"', f'base_url = "{base}"']


def model_lines(name: str, provider: str, upstream: str) -> list[str]:
    price = 'price = { input = "1", output = "2" }'
    return [f'[models."{name}"]', f'provider = "{provider}"', f'upstream = "{upstream}"', price, ""]


def _upstream(name: str, dialect: Dialect, upstream: str, port: int) -> Iterator[str]:
    yield from provider_lines(name, dialect, port)
    yield from (f"first_byte_timeout_s = {PATIENCE_S}", f"idle_timeout_s = {PATIENCE_S}", "")
    yield from model_lines(name, name, upstream)


def _route(number: int, dialect: Dialect, policy: Policy) -> Iterator[str]:
    faulty, good = _model(number, dialect), _good(_next(dialect))
    yield f'[routes."{faulty}.{policy}"]'
    yield f'models = ["{faulty}"]' if policy == "single" else f'models = ["{faulty}", "{good}"]'
    yield f"retries = {0 if policy == 'single' else 1}"
    yield f"first_token_s = {PATIENCE_S}"
    yield f"between_tokens_s = {PATIENCE_S}"
    yield f"deadline_s = {DEADLINE_S}"
    yield "max_backoff_s = 0.2"
    if policy != "single":
        yield f'output_escalate = "{good}"'
    if policy == "restart":
        yield 'stream = "restart"'
    if policy == "hold":
        yield "hold_tokens = 100"
    yield ""


def _model(number: int, dialect: Dialect) -> str:
    return f"f{number}-{dialect}"


def _good(dialect: Dialect) -> str:
    return f"good-{dialect}"


def _next(dialect: Dialect) -> Dialect:
    """Whoever stands in speaks another dialect."""
    return PROVIDER_DIALECTS[(PROVIDER_DIALECTS.index(dialect) + 1) % len(PROVIDER_DIALECTS)]
