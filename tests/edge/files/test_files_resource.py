"""The routes of files over a real server, on files in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import json

from tenfold.core.clock import FakeClock
from tenfold.core.errors import TenfoldError
from tenfold.core.principal import Principal
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.files.resource import FilesResource
from tenfold.edge.http import Request
from tenfold.inference import respond
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.handlers import Files
from tests.support.http_server import Reply, Served, get, post
from tests.support.openai_schema import assert_valid
from tests.support.pipeline import principal

BOUNDARY = "b0undary"


@dataclass
class Shop:
    served: Served
    rows: FakeFileRows
    clock: FakeClock
    who: Principal

    async def upload(self, content: bytes, *, filename: str = "in.jsonl", **fields: str) -> Reply:
        return await self.served.ask(form_post(content, filename=filename, **({"purpose": "batch"} | fields)))


def form(content: bytes, *, filename: str = "in.jsonl", file_first: bool = False, **fields: Any) -> bytes:
    texts = b"".join(part(f'name="{name}"', value.encode()) for name, value in fields.items())
    file = part(f'name="file"; filename="{filename}"', content)
    return (file + texts if file_first else texts + file) + f"--{BOUNDARY}--\r\n".encode()


def expiring(**parts: str) -> dict[str, Any]:
    return {"purpose": "batch"} | {f"expires_after[{name}]": value for name, value in parts.items()}


def part(named: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + content + b"\r\n"


def form_post(content: bytes, **how: Any) -> bytes:
    return posted(form(content, **how))


def posted(body: bytes, kind: str = f"multipart/form-data; boundary={BOUNDARY}") -> bytes:
    return post(body, "/v1/files", f"Content-Type: {kind}")


def delete(path: str) -> bytes:
    return get(path).replace(b"GET", b"DELETE", 1)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    clock = FakeClock()
    rows = FakeFileRows(clock)
    resource = FilesResource(Files(rows, max_bytes=3_000_000, max_tenant_bytes=5_000_000))

    async def handle(request: Request) -> None:
        try:
            await resource.handle(request, made.who)
        except TenfoldError as error:
            respond.refuse(error, OpenAIDialect(), "req_1", request)

    async with Served(handle) as served:
        made = Shop(served, rows, clock, principal())
        yield made


async def test_what_is_uploaded_can_be_read(shop: Shop) -> None:
    content = bytes(at % 251 for at in range(2_000_000)) + f"\r\n--{BOUNDARY[:-1]}".encode()
    made = await shop.upload(content, filename="Größe.jsonl")
    file = made.json()
    assert made.status == 200
    assert_valid("OpenAIFile", file)
    assert file["id"].startswith("file-")
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(content), "Größe.jsonl", "batch")
    assert file["expires_at"] - file["created_at"] == 30 * 86_400
    path = f"/v1/files/{file['id']}"
    assert (await shop.served.ask(get(path))).json() == file
    read = await shop.served.ask(get(f"{path}/content"))
    assert read.body == content
    assert read.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.jsonl"
    client = await shop.served.connect()
    await client.send(get(f"{path}/content").replace(b"GET", b"HEAD", 1))
    assert (await client.reply(to="HEAD")).body == b""
    gone = await shop.served.ask(delete(path))
    assert_valid("DeleteFileResponse", gone.json())
    for again in (get(path), get(f"{path}/content"), delete(path)):
        assert (await shop.served.ask(again)).status == 404
    assert len(shop.rows) == 0


async def test_the_file_may_come_before_the_fields(shop: Shop) -> None:
    reply = await shop.served.ask(
        form_post(
            b"data",
            file_first=True,
            purpose="user_data",
            **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"},
        )
    )
    file = reply.json()
    assert (file["purpose"], file["expires_at"] - file["created_at"]) == ("user_data", 3600)
    plain = (await shop.upload(b"data", purpose="vision")).json()
    assert "expires_at" not in plain


async def test_a_form_cut_anywhere_is_the_same(shop: Shop) -> None:
    whole = form_post(b"line\r\n--b0\r\nline", purpose="batch")
    for cut in range(1, len(whole), 3):
        client = await shop.served.connect()
        await client.send(whole, cuts=[cut])
        made = (await client.reply()).json()
        read = await shop.served.ask(get(f"/v1/files/{made['id']}/content"))
        assert read.body == b"line\r\n--b0\r\nline"
        client.close()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (form(b"x"), "purpose"),
        (form(b"x", purpose="fun"), "purpose"),
        (part('name="purpose"', b"batch") + b"--b0undary--\r\n", "file"),
        (form(b"", purpose="batch"), "file"),
        (form(b"x", purpose="x" * 2000), "purpose"),
        (form(b"x", **expiring(seconds="3600")), "expires_after[anchor]"),
        (form(b"x", **expiring(anchor="created_at", seconds="1")), "expires_after[seconds]"),
        (form(b"x", **expiring(anchor="created_at", seconds="000000003600" + "9" * 100)), "expires_after[seconds]"),
        (form(b"x", **expiring(anchor="created_at", seconds="٣٦٠٠")), "expires_after[seconds]"),
        (part('name="file"; filename="a"', b"x") * 2 + b"--b0undary--\r\n", "file"),
        (part('filename="a"', b"x") + b"--b0undary--\r\n", None),
        (form(b"x", purpose="batch")[:-20], None),
        (b"nothing of that kind", None),
        (b"", None),
    ],
)
async def test_a_form_that_cannot_be_meant_is_refused_and_leaves_nothing(
    shop: Shop, body: bytes, param: str | None
) -> None:
    reply = await shop.served.ask(posted(body))
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)
    assert len(shop.rows) == 0


async def test_other_bodies_are_refused(shop: Shop) -> None:
    for kind in ("application/json", "multipart/form-data", f"multipart/form-data; boundary={'x' * 500}"):
        assert (await shop.served.ask(posted(b"{}", kind))).status == 400


async def test_files_have_bounds(shop: Shop) -> None:
    assert (await shop.upload(b"x" * 3_000_001)).status == 413
    assert (await shop.upload(b"x" * 4_000_000)).status == 413
    assert len(shop.rows) == 0
    first = (await shop.upload(b"x" * 3_000_000)).json()
    refused = await shop.upload(b"x" * 3_000_000)
    assert refused.status == 413
    assert "Delete some" in refused.json()["error"]["message"]
    await shop.served.ask(delete(f"/v1/files/{first['id']}"))
    assert (await shop.upload(b"x" * 3_000_000)).status == 200


async def test_a_client_that_leaves_leaves_nothing(shop: Shop) -> None:
    client = await shop.served.connect()
    await client.send(form_post(b"x" * 2_500_000)[:2_000_000])
    client.close()
    assert await shop.served.how() == "cancelled"
    assert len(shop.rows) == 0


async def test_files_are_listed_a_page_at_a_time(shop: Shop) -> None:
    made = [(await shop.upload(b"x", purpose=purpose)).json()["id"] for purpose in ("batch", "vision", "batch")]
    made.sort(reverse=True)
    page = (await shop.served.ask(get("/v1/files?limit=2"))).json()
    assert_valid("ListFilesResponse", page)
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (made[:2], True)
    rest = (await shop.served.ask(get(f"/v1/files?limit=2&after={page['last_id']}"))).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == (made[2:], False)
    upward = (await shop.served.ask(get("/v1/files?order=asc&purpose=batch"))).json()
    assert len(upward["data"]) == 2
    for query in ("limit=0", "limit=10001", "limit=x", "order=up", "after=file-1", "purpose=%00"):
        assert (await shop.served.ask(get(f"/v1/files?{query}"))).status == 400, query


async def test_another_tenant_sees_nothing_of_it(shop: Shop) -> None:
    name = (await shop.upload(b"mine")).json()["id"]
    shop.who = principal("other")
    for ask in (get(f"/v1/files/{name}"), get(f"/v1/files/{name}/content"), delete(f"/v1/files/{name}")):
        assert (await shop.served.ask(ask)).status == 404
    assert (await shop.served.ask(get("/v1/files"))).json()["data"] == []


async def test_a_file_that_a_batch_reads_stays(shop: Shop) -> None:
    name = (await shop.upload(b"mine")).json()["id"]
    shop.rows.in_use = lambda _tenant, _file: True
    assert (await shop.served.ask(delete(f"/v1/files/{name}"))).status == 409
    assert (await shop.served.ask(get(f"/v1/files/{name}"))).status == 200


async def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    for ask in (get("/v1/files/file-1"), get("/v1/files/x/y"), get("/v1/files/"), post(b"", "/v1/files/x")):
        assert (await shop.served.ask(ask)).status == 404


async def test_the_database_away_is_told(shop: Shop) -> None:
    shop.rows.away = True
    assert (await shop.upload(b"x")).status == 503
    assert json.decode((await shop.served.ask(get("/v1/files"))).body)["error"]["code"] == "store_unavailable"
