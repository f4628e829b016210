"""Responses of clients that wait: whole and streamed, stored, gone on from, deleted. The official SDK asks."""

import json
from typing import Any

import openai
import pytest
from msgspec import structs
from openai.types.responses import Response

from tenfold.core.errors import StoreUnavailable
from tests.edge.responses.house import House
from tests.support.openai_schema import assert_valid
from tests.support.pipeline import MODEL, streamed, whole


def text_of(item: Any) -> str:
    text: str = item.content[0].text
    return text


every_upstream = pytest.mark.parametrize("upstream", ["openai", "anthropic", "gemini"])


def sent(house: House, number: int = -1) -> Any:
    return json.loads(house.world.sent[number].body)


@every_upstream
async def test_a_whole_response_is_stored(upstream: str) -> None:
    async with House({upstream: [whole(upstream)]}) as house:
        made = await house.client.responses.create(model=MODEL, input="Hi", metadata={"a": "b"})
        assert made.output_text == "Hello"
        assert made.status == "completed"
        assert made.to_dict()["store"] is True
        found = await house.client.responses.retrieve(made.id)
        assert found == made
        assert_valid("Response", found.model_dump(mode="json", exclude_unset=True))
        assert found.metadata == {"a": "b"}
        assert made.usage is not None
        assert made.usage.total_tokens == 15
        house.world.assert_settled()


@every_upstream
async def test_a_streamed_response_is_stored(upstream: str) -> None:
    async with House({upstream: [streamed(upstream)]}) as house:
        async with house.client.responses.stream(model=MODEL, input="Hi") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == "Hello"
        assert [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        found = await house.client.responses.retrieve(final.id)
        assert found.output_text == "Hello"
        assert found.id == final.id
        assert found.usage == final.usage
        house.world.assert_settled()


async def test_events_of_a_stream_are_numbered_from_0() -> None:
    async with House({"openai": [streamed("openai")]}) as house:
        stream = await house.client.responses.create(model=MODEL, input="Hi", stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


async def test_what_is_not_to_be_stored_is_not() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="Hi", store=False)
        assert made.output_text == "Hello"
        assert made.to_dict()["store"] is False
        with pytest.raises(openai.NotFoundError):
            await house.client.responses.retrieve(made.id)
        assert len(house.rows) == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_without_a_database_it_is_answered_and_says_that_it_is_not_stored(stream: bool) -> None:
    async with House({"openai": [streamed("openai") if stream else whole("openai")]}) as house:
        house.rows.away = True
        if stream:
            events = [
                event async for event in await house.client.responses.create(model=MODEL, input="Hi", stream=True)
            ]
            assert events[-1].type == "response.completed"
            made = events[-1].response
            assert events[-1].sequence_number == len(events) - 1
        else:
            made = await house.client.responses.create(model=MODEL, input="Hi")
        assert made.output_text == "Hello"
        assert made.to_dict()["store"] is False


async def test_an_answer_from_the_cache_is_a_response_of_its_own() -> None:
    async with House({"openai": [whole("openai"), whole("openai")]}) as house:
        asked: dict[str, Any] = {"model": MODEL, "input": "Hi", "temperature": 0}
        first = await house.client.responses.create(**asked, metadata={"n": "1"})
        again = await house.client.responses.create(**asked, metadata={"n": "2"})
        assert len(house.world.sent) == 1
        assert first.id != again.id
        assert again.metadata == {"n": "2"}
        assert again.output[0].id != first.output[0].id
        assert (await house.client.responses.retrieve(again.id)).output_text == "Hello"


# -- going on ------------------------------------------------------------------------------------


@every_upstream
@pytest.mark.parametrize("stream", [False, True])
async def test_it_goes_on_from_another(upstream: str, stream: bool) -> None:
    replies = [streamed(upstream) if stream else whole(upstream) for _ in range(3)]
    async with House({upstream: replies}) as house:
        ids: list[str] = []
        for said in ("one", "two", "three"):
            more: dict[str, Any] = {"previous_response_id": ids[-1]} if ids else {}
            if stream:
                async with house.client.responses.stream(model=MODEL, input=said, **more) as events:
                    made: Response = await events.get_final_response()
            else:
                made = await house.client.responses.create(model=MODEL, input=said, **more)
            assert made.previous_response_id == (ids[-1] if ids else None)
            ids.append(made.id)
        text = json.dumps(sent(house))
        places = [text.index(f'"{said}"') for said in ("one", "two", "three")]
        assert places == sorted(places)
        assert text.count('"Hello"') == 2, "with what was answered in between"
        if upstream == "openai":
            assert [message["role"] for message in sent(house)["messages"]] == ["user", "assistant"] * 2 + ["user"]


async def test_instructions_are_not_carried_over() -> None:
    async with House({"openai": [whole("openai"), whole("openai")]}) as house:
        first = await house.client.responses.create(model=MODEL, input="a", instructions="Be brief.")
        await house.client.responses.create(
            model=MODEL, input="b", instructions="Be kind.", previous_response_id=first.id
        )
        said = json.dumps(sent(house))
        assert "Be kind." in said
        assert "Be brief." not in said


async def test_two_can_go_on_from_the_same() -> None:
    async with House({"openai": [whole("openai") for _ in range(3)]}) as house:
        first = await house.client.responses.create(model=MODEL, input="a")
        for said in ("b", "c"):
            await house.client.responses.create(model=MODEL, input=said, previous_response_id=first.id)
        assert "'b'" not in str(sent(house))
        assert len(house.rows) == 3


@pytest.mark.parametrize("named", ["resp_" + "0" * 32, "resp_nonsense", "", "msg_1"])
async def test_there_must_be_something_to_go_on_from(named: str) -> None:
    async with House({"openai": []}) as house:
        with pytest.raises(openai.BadRequestError) as refused:
            await house.client.responses.create(model=MODEL, input="b", previous_response_id=named)
        assert refused.value.param == "previous_response_id"
        assert "not found" in refused.value.message


async def test_it_does_not_go_on_from_another_tenants() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        first = await house.client.responses.create(model=MODEL, input="a")
        with pytest.raises(openai.BadRequestError, match="not found"):
            await house.other.responses.create(model=MODEL, input="b", previous_response_id=first.id)
        assert len(house.world.sent) == 1


async def test_a_chain_with_a_link_missing_is_refused() -> None:
    async with House({"openai": [whole("openai") for _ in range(2)]}) as house:
        first = await house.client.responses.create(model=MODEL, input="a")
        second = await house.client.responses.create(model=MODEL, input="b", previous_response_id=first.id)
        await house.client.responses.delete(first.id)
        with pytest.raises(openai.BadRequestError, match=first.id):
            await house.client.responses.create(model=MODEL, input="c", previous_response_id=second.id)
        assert (await house.client.responses.retrieve(second.id)).output_text == "Hello"
        assert [text_of(item) async for item in await house.client.responses.input_items.list(second.id)] == ["b"]


async def test_a_circle_is_refused() -> None:
    async with House({"openai": [whole("openai") for _ in range(2)]}) as house:
        first = await house.client.responses.create(model=MODEL, input="a")
        second = await house.client.responses.create(model=MODEL, input="b", previous_response_id=first.id)
        rows = house.rows._rows  # nothing that can be asked for makes one
        one, two = rows.values()
        rows[one.tenant_id, one.id] = _linked(one, two.id)
        with pytest.raises(openai.BadRequestError, match="goes on from itself"):
            await house.client.responses.create(model=MODEL, input="c", previous_response_id=second.id)


def _linked(row: Any, previous: Any) -> Any:
    return structs.replace(row, previous_id=previous)


async def test_a_chain_has_a_length_and_a_size() -> None:
    async with House({"openai": [whole("openai") for _ in range(9)]}, max_chain=3, max_input_bytes=6000) as house:
        ids: list[Any] = [None]
        for _ in range(4):
            made = await house.client.responses.create(model=MODEL, input="a", previous_response_id=ids[-1])
            ids.append(made.id)
        with pytest.raises(openai.BadRequestError, match="more than 3 others"):
            await house.client.responses.create(model=MODEL, input="a", previous_response_id=ids[-1])
        made = await house.client.responses.create(model=MODEL, input="a" * 4000, previous_response_id=ids[1])
        with pytest.raises(openai.BadRequestError, match="larger than 6000 bytes"):
            await house.client.responses.create(model=MODEL, input="b", previous_response_id=made.id)


async def test_an_input_that_is_too_large_to_be_stored() -> None:
    async with House({"openai": [whole("openai")]}, max_input_bytes=1000) as house:
        with pytest.raises(openai.APIStatusError) as refused:
            await house.client.responses.create(model=MODEL, input="a" * 1000)
        assert refused.value.status_code == 413
        assert "store: false" in refused.value.message
        made = await house.client.responses.create(model=MODEL, input="a" * 1000, store=False)
        assert made.output_text == "Hello"


# -- under a key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_under_a_key_there_is_one(stream: bool) -> None:
    async with House({"openai": [streamed("openai") if stream else whole("openai")]}) as house:
        ids = []
        for _ in range(2):
            key = {"Idempotency-Key": "k1"}
            if stream:
                events = await house.client.responses.create(model=MODEL, input="a", stream=True, extra_headers=key)
                made = [event async for event in events][-1].response  # type: ignore[union-attr]
            else:
                made = await house.client.responses.create(model=MODEL, input="a", extra_headers=key)
            ids.append(made.id)
        assert ids[0] == ids[1]
        assert len(house.world.sent) == 1
        assert len(house.rows) == 1
        with pytest.raises(openai.UnprocessableEntityError):
            await house.client.responses.create(model=MODEL, input="b", extra_headers={"Idempotency-Key": "k1"})


async def test_under_a_key_one_that_is_not_stored_keeps_its_id() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        key = {"Idempotency-Key": "k1"}
        asked: Any = {"model": MODEL, "input": "a", "store": False, "extra_headers": key}
        first, again = [await house.client.responses.create(**asked) for _ in range(2)]
        assert first == again
        assert len(house.world.sent) == 1


# -- looking at one --------------------------------------------------------------------------------


async def test_another_tenant_sees_nothing() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="a")
        for look in (
            house.other.responses.retrieve(made.id),
            house.other.responses.cancel(made.id),
            house.other.responses.delete(made.id),
            house.other.responses.input_items.list(made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await look
        assert (await house.client.responses.retrieve(made.id)).id == made.id


async def test_deleted_it_is_gone() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="a")
        raw = await house.client.responses.with_raw_response.delete(made.id)
        assert json.loads(raw.content) == {"id": made.id, "object": "response", "deleted": True}
        for again in (house.client.responses.retrieve(made.id), house.client.responses.delete(made.id)):
            with pytest.raises(openai.NotFoundError):
                await again
        assert len(house.rows) == 0


async def test_one_that_somebody_waited_for_cannot_be_cancelled() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="a")
        with pytest.raises(openai.BadRequestError, match="synchronous"):
            await house.client.responses.cancel(made.id)
        with pytest.raises(openai.BadRequestError, match="background"):
            await house.client.responses.retrieve(made.id, stream=True)


async def test_what_did_not_change_is_not_sent_again() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="a")
        raw = await house.client.responses.with_raw_response.retrieve(made.id)
        tag = raw.headers["etag"]
        assert "retry-after" not in raw.headers
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            with pytest.raises(openai.APIStatusError) as same:
                await house.client.responses.retrieve(made.id, extra_headers={"If-None-Match": known})
            assert same.value.status_code == 304
            assert same.value.response.headers["etag"] == tag
        assert await house.client.responses.retrieve(made.id, extra_headers={"If-None-Match": '"other"'}) == made


async def test_input_items_a_page_at_a_time() -> None:
    async with House({"openai": [whole("openai"), whole("openai")]}) as house:
        first = await house.client.responses.create(model=MODEL, input="one")
        second = await house.client.responses.create(
            model=MODEL,
            input=[
                {"role": "user", "content": "two"},
                {"role": "user", "content": [{"type": "input_text", "text": "three"}]},
            ],
            previous_response_id=first.id,
        )
        pager = await house.client.responses.input_items.list(second.id, order="asc", limit=2)
        texts = [text_of(item) async for item in pager]
        assert texts == ["one", "Hello", "two", "three"]
        newest = await house.client.responses.input_items.list(second.id)
        assert [text_of(item) for item in newest.data] == texts[::-1]
        raw = await house.client.responses.input_items.with_raw_response.list(second.id, limit=2)
        page = json.loads(raw.content)
        assert_valid("ResponseItemList", page)
        assert page["has_more"] is True
        ids = [item.id for item in newest.data]
        assert len(set(ids)) == 4
        wrong: Any
        for wrong in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_none"}):
            with pytest.raises(openai.BadRequestError):
                await house.client.responses.input_items.list(second.id, **wrong)


async def test_what_expired_is_gone() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        made = await house.client.responses.create(model=MODEL, input="a")
        house.world.clock.advance(31 * 86_400)
        with pytest.raises(openai.NotFoundError):
            await house.client.responses.retrieve(made.id)


# -- what is refused -------------------------------------------------------------------------------


async def test_what_is_not_here_says_what_to_do() -> None:
    async with House({"openai": []}) as house:
        asked: Any
        for asked, word in (
            ({"conversation": "conv_1"}, "previous_response_id"),
            ({"prompt": {"id": "pmpt_1"}}, "instructions"),
            ({"background": True, "store": False}, "store"),
        ):
            with pytest.raises(openai.BadRequestError, match=word):
                await house.client.responses.create(model=MODEL, input="a", **asked)


async def test_routes_that_are_none() -> None:
    async with House({"openai": []}) as house:
        for method, path in (
            ("PUT", "/responses"),
            ("GET", "/responses"),
            ("POST", "/responses/compact"),
            ("GET", "/responses/resp_1/cancel"),
            ("GET", "/responses/resp_1/input_items/x"),
            ("GET", "/responses/"),
        ):
            with pytest.raises(openai.NotFoundError):
                await _ask(house, method, path)


async def _ask(house: House, method: str, path: str) -> Any:
    ask = {"GET": house.client.get, "POST": house.client.post, "PUT": house.client.put}[method]
    return await ask(path, cast_to=object)  # type: ignore[operator]


async def test_an_error_of_the_model_is_not_stored() -> None:
    async with House(
        {"openai": [whole("openai", status=400, body=b'{"error":{"message":"Too long","type":"x"}}')]}
    ) as house:
        with pytest.raises(openai.BadRequestError, match="Too long"):
            await house.client.responses.create(model=MODEL, input="a")
        assert len(house.rows) == 0


async def test_tokens_are_counted_with_what_it_goes_on_from() -> None:
    async with House({"openai": [whole("openai")]}) as house:
        alone = await house.client.responses.input_tokens.count(model=MODEL, input="b")
        first = await house.client.responses.create(model=MODEL, input="a" * 400)
        more = await house.client.responses.input_tokens.count(model=MODEL, input="b", previous_response_id=first.id)
        assert alone.object == "response.input_tokens"
        assert more.input_tokens > alone.input_tokens + 90


async def test_the_store_is_away() -> None:
    async with House({"openai": []}) as house:
        house.rows.away = True
        for ask in (
            house.client.responses.retrieve("resp_" + "0" * 32),
            house.client.responses.create(model=MODEL, input="a", previous_response_id="resp_" + "0" * 32),
            house.client.responses.create(model=MODEL, input="a", background=True),
        ):
            with pytest.raises(openai.InternalServerError) as failed:
                await ask
            assert failed.value.status_code == StoreUnavailable.status
