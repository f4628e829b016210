"""Many calls at once through the official SDKs: everyone gets the own answer, whole, whatever goes wrong beside it."""

import asyncio
import uuid
from typing import Any

import anthropic
import openai

from tests.sdk.models import CLAUDE, GEMINI, OPENAI

MODELS = (OPENAI, CLAUDE, GEMINI)
CALLS = 90


async def openai_answer(client: openai.AsyncOpenAI, model: str, text: str, *, stream: bool) -> str:
    messages: list[Any] = [{"role": "user", "content": text}]
    reply: Any = await client.chat.completions.create(model=model, messages=messages, stream=stream)
    if not stream:
        return str(reply.choices[0].message.content)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in reply if chunk.choices])


async def anthropic_answer(client: anthropic.AsyncAnthropic, model: str, text: str) -> str:
    async with client.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": text}]
    ) as stream:
        return await stream.get_final_text()


async def test_everyone_gets_the_own_answer(
    async_openai: openai.AsyncOpenAI, async_anthropic: anthropic.AsyncAnthropic
) -> None:
    marks = [uuid.uuid4().hex for _ in range(CALLS)]

    async def asked(number: int, mark: str) -> str:
        model = MODELS[number % 3]
        fault = "[[cut 2]]" if number % 5 == 0 else "[[drip]]" if number % 5 == 1 else ""
        text = f"{fault} Repeat: {mark} one two three {mark}"
        try:
            if number % 2:
                return await anthropic_answer(async_anthropic, model, text)
            return await openai_answer(async_openai, model, text, stream=number % 4 == 0)
        except (openai.APIError, anthropic.APIError) as error:
            assert fault == "[[cut 2]]", repr(error)
            return "broken"

    answers = await asyncio.gather(*(asked(number, mark) for number, mark in enumerate(marks)))
    for number, (mark, answer) in enumerate(zip(marks, answers, strict=True)):
        assert answer == ("broken" if number % 5 == 0 else f"{mark} one two three {mark}")
