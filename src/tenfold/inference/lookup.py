"""Stage 4, lookup: has this call been answered before? First by the raw body, unread, then by its normal form, here and
where processes share their answers.

Which answers may be reused is the default policy's to say, and the request's own `Tenfold-Cache-Control` before it.
A stale answer, or one that may not be reused at all, is found by `stale` alone: for when nobody else answers.
"""

import hashlib
from collections.abc import Hashable
from functools import partial
from typing import Any, Literal

from msgspec import json, msgpack, structs

from tenfold.cache.exact import Answer, ExactCache
from tenfold.cache.ports import SharedAnswers
from tenfold.core.call import Call
from tenfold.inference.grounded import Grounded
from tenfold.inference.ports import Switches

Policy = Literal["never", "deterministic", "always"]

_ALONE = frozenset(("no-cache", "no-store"))
_LOOK_EVERY = 64  # frames between two looks at the size of a stream that may be kept

_normal = json.Encoder(order="deterministic")
_decoder: json.Decoder[Any] = json.Decoder()

# They do not change what the model is asked, only how a client is billed, traced or named.
NOT_PART_OF_THE_QUESTION = ("user", "metadata", "safety_identifier", "prompt_cache_key")


class Lookup:
    """`switches`: answers of a model or provider that is switched off are not given. `shared`: the cache that processes
    share, where there is one. `grounded` keeps answers that rest on documents; without it none is kept."""

    def __init__(
        self,
        cache: ExactCache,
        policy: Policy,
        switches: Switches | None = None,
        shared: SharedAnswers | None = None,
        grounded: Grounded | None = None,
    ) -> None:
        self._cache = cache
        self._policy = policy
        self._switches = switches
        self._shared = shared
        self._grounded = grounded

    def by_bytes(self, call: Call) -> Answer | None:
        """The answer to the very same bytes. Sets the call's cache state when there is one."""
        if not len(self._cache) or "no-cache" in call.options.cache:
            return None
        return self._find(call, _raw_key(call))

    def key(self, call: Call) -> Hashable:
        """Under what the answer is kept, once the body has been peeked into; None: it is not to be reused. Sets the
        call's cache state."""
        if not self._eligible(call):
            return None
        call.cache_state = "miss"
        return _normal_key(call)

    def by_meaning(self, call: Call, key: Hashable) -> Answer | None:
        """The answer to a body that says the same in other JSON. Sets the call's cache state when there is one."""
        if "no-cache" in call.options.cache:
            return None
        answer = self._find(call, key)
        if answer is None:
            self._cache.misses += 1
        else:
            self._cache.put(call.principal.tenant_id, _raw_key(call), answer, len(call.body))
        return answer

    async def by_others(self, call: Call, key: Hashable) -> Answer | None:
        """The answer that another process got. Sets the call's cache state when there is one."""
        shared, options = self._shared, call.options
        if shared is None or options.grounds is not None or "no-cache" in options.cache:
            return None
        tenant_id = call.principal.tenant_id
        found = await shared.get(tenant_id, _shared_key(key))
        if found is None:
            return None
        answer, age_s = found
        if options.max_age_s is not None and age_s > options.max_age_s:
            return None
        self._cache.put(tenant_id, key, structs.replace(answer, stored_s=self._cache.now() - age_s))
        if (usable := self._usable(call, answer, age_s)) is not None:
            call.cache_layer = "valkey"
        return usable

    def stale_key(self, call: Call) -> Hashable:
        """Under what the answer to any call is kept for `stale`, once the body has been peeked into; None: this request
        wants none kept. It says nothing of ordinary reuse, and the call's cache state stays."""
        return None if "no-store" in call.options.cache else _normal_key(call)

    def stale(self, call: Call, key: Hashable, max_age_s: float) -> Answer | None:
        """The last answer this tenant got to the same question, at most `max_age_s` old, when no other can be had.
        Sets the call's cache state when there is one. Never for a request that says `no-cache` or `no-store`."""
        if key is None or not self.may_share(call):
            return None
        found = self._cache.get_stale(call.principal.tenant_id, key, max_age_s)
        return None if found is None or is_off(self._switches, call, found[0]) else reused(call, *found)

    def may_share(self, call: Call) -> bool:
        """Whether a call that has a key may share the answering of one with the same key that is in flight. `no-cache`
        wants what is asked from now on, `no-store` that nobody else gets its answer: they go alone."""
        return _ALONE.isdisjoint(call.options.cache)

    @property
    def max_answer_bytes(self) -> int:
        return self._cache.max_entry_bytes

    def keep(self, kept: list[bytes], frames: bytes) -> list[bytes] | None:
        """`kept` with more of a stream; None once it is larger than an answer in the cache may be."""
        kept.append(frames)
        if len(kept) % _LOOK_EVERY == 0 and sum(map(len, kept)) > self._cache.max_entry_bytes:
            return None
        return kept

    def store(self, call: Call, key: Hashable, body: bytes) -> None:
        """Keep what was sent, when it may be: only whole, good answers come here, under a key of `key` or, where they
        are wanted stale, of `stale_key`. What is not eligible for ordinary reuse is kept for `stale` alone."""
        if "no-store" in call.options.cache or call.peek is None or "restart" in call.degraded:
            return
        stale_only = not self._eligible(call)
        documents = frozenset() if call.options.grounds is None else call.options.grounds.documents
        answer = Answer(
            body=body,
            stream=call.peek.stream,
            usage=call.usage,
            provider=call.provider or "",
            model=call.model,
            upstream_model=call.upstream_model or "",
            target_model=call.target_model,
            served_by=call.served_by,
            on_request=not self._by_default(call),
            stored_s=self._cache.now(),
            degraded=call.degraded,
            stale_only=stale_only,
            documents=documents,
        )
        # What is kept later is kept under what was asked: by then the call's body is let go of.
        put = partial(self._put, call, key, _raw_key(call), len(call.body), answer)
        if not documents:
            put()
        elif self._grounded is not None:
            self._grounded.keep(call, documents, put)

    def _put(self, call: Call, key: Hashable, raw_key: Hashable, body_bytes: int, answer: Answer) -> None:
        tenant_id = call.principal.tenant_id
        self._cache.put(tenant_id, key, answer)
        if not answer.stale_only:
            self._cache.put(tenant_id, raw_key, answer, body_bytes)
            if self._shared is not None and call.options.grounds is None:
                self._shared.put(tenant_id, _shared_key(key), answer)

    def _find(self, call: Call, key: Hashable) -> Answer | None:
        found = self._cache.get(call.principal.tenant_id, key, call.options.max_age_s)
        return None if found is None else self._usable(call, *found)

    def _usable(self, call: Call, answer: Answer, age_s: float) -> Answer | None:
        if answer.on_request and "exact" not in call.options.cache:
            return None
        grounds = call.options.grounds
        if grounds is not None and grounds.documents != answer.documents:
            return None
        if is_off(self._switches, call, answer):
            return None
        call.degraded = answer.degraded
        return reused(call, answer, age_s)

    def _eligible(self, call: Call) -> bool:
        return "exact" in call.options.cache or self._by_default(call)

    def _by_default(self, call: Call) -> bool:
        if self._policy != "deterministic":
            return self._policy == "always"
        return call.operation == "embeddings" or (call.peek is not None and call.peek.temperature == 0)


def is_off(switches: Switches | None, call: Call, answer: Answer) -> bool:
    """Whether the feature, or who gave the answer, is switched off."""
    if switches is None or not switches.any:
        return False
    feature, model, provider = call.options.feature, answer.target_model or answer.model, answer.provider or None
    return switches.killed(call.principal, feature=feature, model=model, provider=provider) is not None


def reused(call: Call, answer: Answer, age_s: float) -> Answer:
    """What the call tells of an answer that somebody else's call got."""
    call.cache_state = "hit"
    call.cached_age_s = int(age_s)
    call.model, call.provider, call.upstream_model = answer.model, answer.provider, answer.upstream_model
    call.served_by = answer.served_by
    call.usage, call.stream = answer.usage, answer.stream
    return answer


def _raw_key(call: Call) -> Hashable:
    return call.operation, call.dialect, call.options.upstream_headers, call.body


def _shared_key(key: Hashable) -> bytes:
    return hashlib.blake2b(msgpack.encode(key), digest_size=32).digest()


def _normal_key(call: Call) -> Hashable:
    body = _decoder.decode(call.body)
    for name in NOT_PART_OF_THE_QUESTION:
        body.pop(name, None)
    digest = hashlib.blake2b(_normal.encode(body), digest_size=32)
    return call.operation, call.dialect, call.options.upstream_headers, digest.digest()
