"""Stage 4 by meaning: the answer to a question that says the same in other words, where the bound on false hits allows
it. And behind the call: what a fresh answer is compared with, what is learnt of it, and what is kept.

A hit is read from its row, so an answer that was evicted, or rests on what has changed, is not given by any process.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import random
from time import perf_counter
from typing import Literal, Protocol

from msgspec import Struct

from tenfold.cache.exact import Answer
from tenfold.cache.semantic.keeping import LiveScope, Scopes
from tenfold.cache.semantic.rows import NewEntry, Seen, Told
from tenfold.cache.semantic.types import Decision, Entry, Learned, Verdict
from tenfold.core.call import Call, Grounds
from tenfold.core.errors import StoreUnavailable, UpstreamError
from tenfold.core.ids import uuid7
from tenfold.inference.lookup import is_off, reused
from tenfold.inference.ports import Switches
from tenfold.inference.semantic.question import Asked, NotAQuestion, asked_in
from tenfold.inference.semantic.said import Reader, text_of

logger = logging.getLogger(__name__)

SemanticPolicy = Literal["off", "on_request", "always"]
Compare = Callable[[str, str, float | None], Verdict]

EMBED_S = 0.25
"""A question that is not embedded by then is not looked up: the embedder is busy with documents, or starts."""

MAX_ANSWER_CHARS = 8_000
"""Longer ones are not kept: comparing holds the event loop up, 0.3 to 0.8 ms for each thousand."""

_MOST_WAITING = 256  # answers to be compared and kept; beyond, they are not


class Embedder(Protocol):
    """See tenfold.retrieval.ports.Embedder."""

    @property
    def fingerprint(self) -> str: ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Raises UpstreamError."""
        ...


class LookedUp(Struct, frozen=True, kw_only=True):
    """What is known of a question once it was looked up, for what comes after its answer. `decision` None: nothing was
    decided that a fresh answer could be compared with."""

    asked: Asked
    live: LiveScope
    vector: tuple[float, ...]
    decision: Decision | None
    documents: frozenset[str]


class Semantic:
    """`compare` errs, and the scopes know. `ttl_s`: so long an answer may be given. `dice`: [0, 1). Run `scopes.follow`
    beside it; `aclose` when no call is left."""

    def __init__(
        self,
        scopes: Scopes,
        embedder: Embedder,
        readers: Mapping[str, Reader],
        compare: Compare,
        *,
        policy: SemanticPolicy = "on_request",
        max_false_hits: float = 0.01,
        ttl_s: float = 86_400.0,
        switches: Switches | None = None,
        dice: Callable[[], float] = random,
        embed_s: float = EMBED_S,
        max_answer_bytes: int = 1 << 20,
    ) -> None:
        self.scopes = scopes
        self.counts: Counter[tuple[str, str]] = Counter()
        self._rows = scopes.rows
        self._embedder = embedder
        self._readers = readers
        self._compare = compare
        self._policy = policy
        self._max_false_hits = max_false_hits
        self._ttl_s = ttl_s
        self._switches = switches
        self._dice = dice
        self._embed_s = embed_s
        self._max_answer_bytes = max_answer_bytes
        self._keeping: set[asyncio.Task[None]] = set()

    def may(self, call: Call) -> bool:
        """Whether the call is to be looked up at all, by what it says and by the default policy."""
        if self._policy == "off" or call.operation != "chat":
            return False
        if self._policy != "always" and "semantic" not in call.options.cache:
            return False
        assert call.peek is not None
        return call.peek.n == 1 and call.dialect in self._readers

    async def look_up(self, call: Call) -> tuple[Answer | None, LookedUp | None]:
        """The answer, if there is one that serves, and what is needed to `keep` a fresh one otherwise: None where none
        is to be kept. Sets the call's cache state."""
        try:
            asked = self._asked(call)
        except NotAQuestion as not_one:
            _tell(call, not_one.why)
            return None, None
        call.cache_state = "miss"
        wanted = "semantic" in call.options.cache
        live = self.scopes.find(call.principal.tenant_id, asked.facts, wanted=wanted)
        if live is None:
            _tell(call, "the scope is new")
            return None, None
        vector = await self._embedded(asked.text)
        if vector is None or live.decider is None:
            self.counts["misses", "semantic"] += 1
            _tell(call, "the scope is read" if live.decider is None else "the embedder is busy")
            return None, None
        documents = frozenset() if call.options.grounds is None else call.options.grounds.documents
        looked = LookedUp(asked=asked, live=live, vector=vector, decision=None, documents=documents)
        if "no-cache" in call.options.cache:
            _tell(call, "no-cache")
            return None, None if _never_kept(call) else looked
        decision = live.decider.decide(
            asked.text, vector, documents or None, self._dice(), max_false_hits=call.options.max_false_hits
        )
        live.checks += decision.kind == "check"
        call.cache_bound = decision.bound
        _tell(call, decision.why, decision)
        if decision.kind == "hit":
            answer = await self._hit(call, live, decision)
            if answer is not None:
                return answer, None
        else:
            looked = LookedUp(asked=asked, live=live, vector=vector, decision=decision, documents=documents)
        self.counts["misses", "semantic"] += 1
        return None, looked

    def keep(self, call: Call, looked: LookedUp, body: bytes) -> None:
        """Behind the call, which got `body` as its whole, good answer: compared, learnt from, and kept."""
        if "restart" in call.degraded:
            return
        if len(self._keeping) >= _MOST_WAITING or len(body) > self._max_answer_bytes:
            self.counts["dropped", "busy" if len(body) <= self._max_answer_bytes else "too large"] += 1
            return
        task = asyncio.create_task(self._keep(call, looked, body), name=f"inference.semantic.{call.request_id}")
        self._keeping.add(task)
        task.add_done_callback(self._kept)

    async def settled(self) -> None:
        """Returns when all that was given to `keep` is kept, and every scope that was asked for is read."""
        while self._keeping:
            await asyncio.wait(self._keeping)
        await self.scopes.settled()

    async def aclose(self, timeout_s: float = 5.0) -> None:
        """What is being kept gets so long to end."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=timeout_s)
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        await self.scopes.aclose()

    # -- looking up ------------------------------------------------------------------------------

    def _asked(self, call: Call) -> Asked:
        return asked_in(
            call,
            embedder=self._embedder.fingerprint,
            max_false_hits=self._max_false_hits,
            conversations="semantic" in call.options.cache,
        )

    async def _embedded(self, text: str) -> tuple[float, ...] | None:
        try:
            async with asyncio.timeout(self._embed_s):
                (vector,) = await self._embedder.embed([text])
        except (TimeoutError, UpstreamError):
            return None
        return tuple(vector)

    async def _hit(self, call: Call, live: LiveScope, decision: Decision) -> Answer | None:
        assert live.at is not None
        assert live.decider is not None
        assert decision.entry is not None
        try:
            kept = await self._rows.answer(call.principal.tenant_id, live.at, decision.entry)
        except StoreUnavailable:
            _tell(call, "the database is away")
            return None
        if kept is None:
            live.drop([decision.entry])
            _tell(call, "evicted")
            return None
        if _contradicts(kept.documents, call.options.grounds):
            _tell(call, "documents")
            return None
        max_age_s = call.options.max_age_s
        if max_age_s is not None and kept.age_s > max_age_s:
            _tell(call, "too old")
            return None
        told = kept.told
        answer = Answer(
            body=kept.body,
            stream=live.facts.stream,
            usage=told.usage,
            provider=told.provider,
            model=told.model,
            upstream_model=told.upstream_model,
            target_model=told.target_model,
            served_by=told.served_by,
            on_request=True,
            stored_s=0.0,
            degraded=told.degraded,
        )
        if is_off(self._switches, call, answer):
            _tell(call, "switched off")
            return None
        live.hits += 1
        self.counts["hits", "semantic"] += 1
        call.cache_layer, call.degraded = "semantic", answer.degraded
        return reused(call, answer, kept.age_s)

    # -- keeping ---------------------------------------------------------------------------------

    def _kept(self, task: "asyncio.Task[None]") -> None:
        self._keeping.discard(task)
        if not task.cancelled() and task.exception() is not None:  # a bug of ours, behind a call that went well
            logger.error("an answer was not kept", exc_info=task.exception())

    async def _keep(self, call: Call, looked: LookedUp, body: bytes) -> None:
        live, tenant_id = looked.live, call.principal.tenant_id
        assert live.decider is not None
        assert live.at is not None
        text = text_of(self._readers[call.dialect], body, stream=live.facts.stream)
        if text is None or len(text) > MAX_ANSWER_CHARS:
            self.counts["dropped", "no whole text" if text is None else "too large"] += 1
            return
        try:
            learned = await self._learn(live, looked.decision, text)
            wanted = learned.keep and not _never_kept(call)
            entry = Entry(
                id=uuid7(),
                question=looked.asked.text,
                vector=looked.vector,
                answer_id=learned.answer_id or uuid7(),
                documents=looked.documents,
            )
            new = NewEntry(
                entry=entry,
                text=text,
                body=body,
                told=_told(call),
                ttl_s=self._ttl_s,
                asked_s_ago=perf_counter() - call.started,
            )
            seen = None if learned.observation is None else Seen(uuid7(), learned.observation)
            if seen is not None:
                live.learnt(seen)
            kept = await self._rows.keep(
                tenant_id,
                live.at,
                new=new if wanted else None,
                seen=seen,
                status=live.decider.status(),
                max_entries=self.scopes.max_entries,
            )
        except StoreUnavailable as error:
            self.counts["dropped", "database"] += 1
            logger.info("an answer is not kept by its meaning, the database is away: %s", error.message)
            return
        if kept:
            live.add(entry)
            self.counts["kept", "semantic"] += 1
        elif wanted:
            self.counts["dropped", "documents"] += 1

    async def _learn(self, live: LiveScope, decision: Decision | None, text: str) -> Learned:
        if decision is None or not decision.rivals:
            return Learned()
        assert live.decider is not None
        texts = await self._rows.texts(live.tenant_id, decision.rivals)
        verdicts: list[Verdict] = []
        for each in decision.rivals:
            verdicts.append(self._compare(text, texts[each], None) if each in texts else "unsure")
            await asyncio.sleep(0)  # whoever waits for the event loop waits for one comparison
        if decision.kind == "check":
            self.counts["checks", verdicts[0]] += 1
        return live.decider.learn(decision, verdicts)

    def figures(self) -> Iterable[tuple[str, tuple[tuple[str, str], ...], float]]:
        """As the metrics take them: name, labels, value."""
        layer = (("layer", "semantic"),)
        yield "tenfold_cache_hits_total", layer, self.counts["hits", "semantic"]
        yield "tenfold_cache_misses_total", layer, self.counts["misses", "semantic"]
        yield "tenfold_semantic_kept_total", (), self.counts["kept", "semantic"]
        yield "tenfold_semantic_scopes", (), len(self.scopes)
        yield "tenfold_semantic_entries", (), self.scopes.entries
        for verdict in ("same", "different", "unsure"):
            yield "tenfold_semantic_checks_total", (("verdict", verdict),), self.counts["checks", verdict]
        for why in ("busy", "too large", "no whole text", "database", "documents"):
            yield "tenfold_semantic_dropped_total", (("why", why),), self.counts["dropped", why]


def _never_kept(call: Call) -> bool:
    return "no-store" in call.options.cache


def _contradicts(documents: frozenset[str], grounds: Grounds | None) -> bool:
    """Whether one of them is said to have another version now."""
    if grounds is None or not documents:
        return False
    now = {name: version for name, _, version in (each.rpartition("@") for each in grounds.documents)}
    return any(now.get(name, version) != version for name, _, version in (each.rpartition("@") for each in documents))


def _told(call: Call) -> Told:
    return Told(
        provider=call.provider or "",
        model=call.model,
        upstream_model=call.upstream_model or "",
        target_model=call.target_model,
        served_by=call.served_by,
        usage=call.usage,
        degraded=call.degraded,
    )


def _tell(call: Call, why: str, decision: Decision | None = None) -> None:
    if "cache" not in call.options.explain:
        return
    call.cache_told = why
    if decision is not None:
        call.cache_told += f"; probability={decision.probability:.3f}; bound={decision.bound:.4f}"
