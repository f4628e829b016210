"""Scopes, entries and what is known of documents at rest, in both forms: one contract suite runs on each."""

from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from msgspec import structs

from tenfold.cache.grounds import Document, document_of, named_by_caller
from tenfold.cache.semantic.fake import NOTHING_YET, FakeSemanticRows
from tenfold.cache.semantic.ports import SemanticRows
from tenfold.cache.semantic.postgres import PostgresSemanticRows
from tenfold.cache.semantic.rows import BEGINNING, MAX_SCOPES, NewEntry, ScopeAt, ScopeFacts, Seen, Since, Told, Uses
from tenfold.cache.semantic.types import Entry, Observation
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.store import Store
from tests.ledger.samples import add_tenant

KB = "handbook"
OLD, NEW = Document(KB, "refunds.md", "v1"), Document(KB, "refunds.md", "v2")
SEEN = Observation(kind="check", score=0.97, verdict="same")
TOLD = Told(provider="openai", model="m", upstream_model="m-2026", usage=Usage(input_tokens=12, output_tokens=3))
MANY = 10_000
STATUS = structs.replace(NOTHING_YET, max_false_hits=0.02, bound=0.4)


class Both:
    """The rows in one of their forms, and the documents of knowledge bases behind them."""

    def __init__(self, rows: SemanticRows, store: Store | None) -> None:
        self.rows = rows
        self._store = store

    async def new_tenant(self) -> TenantId:
        tenant_id = TenantId(uuid7())
        if self._store is not None:
            await add_tenant(self._store, tenant_id)
        return tenant_id

    async def set_document(self, tenant_id: TenantId, document: Document, *, version: str | None) -> None:
        """None: there is none."""
        if isinstance(self.rows, FakeSemanticRows):
            documents = self.rows.documents.setdefault(tenant_id, set())
            documents -= {each for each in documents if each.name == document.name}
            if version is not None:
                documents.add(Document(document.kb, document.name, version))
            return
        assert self._store is not None
        async with self._store.tenant(tenant_id) as tx:
            kb_id = await tx.fetchval(
                "INSERT INTO knowledge_bases (tenant_id, id, name, analyzer) VALUES ($1, $2, $3, 1)"
                " ON CONFLICT (tenant_id, name) DO UPDATE SET analyzer = 1 RETURNING id",
                tenant_id,
                uuid7(),
                document.kb,
            )
            if version is None:
                await tx.execute("DELETE FROM documents WHERE tenant_id = $1 AND id = $2", tenant_id, document.name)
                return
            await tx.execute(
                "INSERT INTO documents (tenant_id, kb_id, id, hash, title, url, metadata)"
                " VALUES ($1, $2, $3, $4, '', '', '{}') ON CONFLICT (tenant_id, kb_id, id) DO UPDATE SET hash = $4",
                tenant_id,
                kb_id,
                document.name,
                version,
            )


@pytest.fixture(params=["fake", "postgres"])
def both(request: pytest.FixtureRequest) -> Both:
    if request.param == "fake":
        return Both(FakeSemanticRows(), None)
    store: Store = request.getfixturevalue("store")
    return Both(PostgresSemanticRows(store), store)


@pytest.fixture
async def tenant(both: Both) -> TenantId:
    return await both.new_tenant()


def facts(digest: bytes = b"d" * 32) -> ScopeFacts:
    return ScopeFacts(digest=digest, dialect="openai", model="m", stream=False, max_false_hits=0.01)


def entry(question: str = "How do I get a refund?", *documents: Document) -> Entry:
    return Entry(
        id=uuid7(),
        question=question,
        vector=(0.6, 0.8),
        answer_id=uuid7(),
        documents=frozenset(map(str, documents)),
    )


def new(of: Entry, *, ttl_s: float = 60.0, asked_s_ago: float = 0.0) -> NewEntry:
    return NewEntry(entry=of, text="Ask for it.", body=b"{}", told=TOLD, ttl_s=ttl_s, asked_s_ago=asked_s_ago)


async def keep(
    both: Both, tenant: TenantId, at: ScopeAt, it: NewEntry | None, seen: Seen | None = None, *, most: int = MANY
) -> bool:
    return await both.rows.keep(tenant, at, new=it, seen=seen, status=STATUS, max_entries=most)


async def test_a_scope_is_made_once_and_is_of_its_tenant(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    assert await both.rows.open_scope(tenant, facts()) == at
    assert (await both.rows.open_scope(tenant, facts(b"e" * 32))).id != at.id
    other = await both.new_tenant()
    assert (await both.rows.open_scope(other, facts())).id != at.id
    assert await both.rows.show(other, at.id) is None
    assert [each.id for each in await both.rows.page(other, before=None, limit=10)] != [at.id]


async def test_an_entry_comes_back_as_it_was_kept(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    kept = entry()
    assert await keep(both, tenant, at, new(kept))
    answer = await both.rows.answer(tenant, at, kept.id)
    assert answer is not None
    assert (answer.answer_id, answer.body, answer.told) == (kept.answer_id, b"{}", TOLD)
    assert await both.rows.texts(tenant, [kept.id, uuid7()]) == {kept.id: "Ask for it."}
    other = await both.new_tenant()
    assert await both.rows.answer(other, at, kept.id) is None
    assert await both.rows.texts(other, [kept.id]) == {}


async def test_one_past_its_time_is_no_answer(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    kept = entry()
    assert await keep(both, tenant, at, new(kept, ttl_s=0.0))
    assert await both.rows.answer(tenant, at, kept.id) is None


async def test_news_are_told_once_the_beginning_is_read(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    await both.set_document(tenant, OLD, version="v1")
    first, second = entry("one"), entry("two", OLD)
    seen = Seen(uuid7(), SEEN)
    await keep(both, tenant, at, new(first), seen)
    (begun,) = await both.rows.news(tenant, [Since(at.id, BEGINNING)])
    assert begun.epoch == 0
    assert [each.id for each in begun.entries] == [first.id]
    assert begun.entries[0].vector == pytest.approx((0.6, 0.8))
    assert list(begun.seen) == [seen]

    await keep(both, tenant, at, new(second))
    (more,) = await both.rows.news(tenant, [Since(at.id, begun.position)])
    assert {each.id for each in more.entries} >= {second.id}
    assert next(each for each in more.entries if each.id == second.id).documents == {str(OLD)}
    await both.set_document(tenant, OLD, version="v2")
    assert await both.rows.drop_stale(tenant) == 1
    (then,) = await both.rows.news(tenant, [Since(at.id, more.position)])
    assert list(then.gone) == [second.id]
    (anew,) = await both.rows.news(tenant, [Since(at.id, BEGINNING)])
    assert [each.id for each in anew.entries] == [first.id]
    assert list(anew.gone) == []


async def test_of_a_scope_that_is_no_more_there_is_no_epoch(both: Both, tenant: TenantId) -> None:
    (news,) = await both.rows.news(tenant, [Since(uuid7(), BEGINNING)])
    assert news.epoch is None


async def test_an_answer_by_a_version_that_is_no_more_is_not_kept(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    assert not await keep(both, tenant, at, new(entry("of no document", OLD)))
    await both.set_document(tenant, OLD, version="v2")
    assert not await keep(both, tenant, at, new(entry("of the old one", OLD)))
    assert await keep(both, tenant, at, new(entry("of the new one", NEW)))
    await both.set_document(tenant, OLD, version=None)
    assert not await keep(both, tenant, at, new(entry("of a deleted one", NEW)))


async def test_what_was_seen_is_kept_though_the_entry_is_not(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    assert not await keep(both, tenant, at, new(entry("stale", OLD)), Seen(uuid7(), SEEN))
    (news,) = await both.rows.news(tenant, [Since(at.id, BEGINNING)])
    assert (len(news.seen), len(news.entries)) == (1, 0)


async def test_a_changed_document_is_no_answer_before_anybody_has_tidied_up(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    await both.set_document(tenant, OLD, version="v1")
    by_old, by_none = entry("by the document", OLD), entry("by no document")
    for each in (by_old, by_none):
        assert await keep(both, tenant, at, new(each))
    await both.set_document(tenant, OLD, version="v2")
    assert await both.rows.answer(tenant, at, by_old.id) is None
    assert await both.rows.answer(tenant, at, by_none.id) is not None
    assert await both.rows.drop_stale(tenant) == 1
    assert await both.rows.drop_stale(tenant) == 0
    assert await both.rows.texts(tenant, [by_old.id]) == {}


async def test_a_document_of_the_callers_own_is_evicted_by_name_or_version(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    seven, eight, else_ = (entry(text, named_by_caller(text)) for text in ("manual@7", "manual@8", "else@1"))
    for each in (seven, eight, else_):
        assert await keep(both, tenant, at, new(each))
    other = await both.new_tenant()
    assert await both.rows.evict(other, [named_by_caller("manual")]) == 0
    assert await both.rows.evict(tenant, [named_by_caller("manual@7")]) == 1
    assert await both.rows.answer(tenant, at, seven.id) is None
    assert await both.rows.answer(tenant, at, eight.id) is not None
    assert await both.rows.evict(tenant, [named_by_caller("manual"), named_by_caller("nothing")]) == 1
    assert await both.rows.answer(tenant, at, eight.id) is None
    assert await both.rows.answer(tenant, at, else_.id) is not None


async def test_a_call_that_began_before_the_eviction_is_not_kept(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    manual = named_by_caller("manual@7")
    await both.rows.evict(tenant, [named_by_caller("manual")])
    assert not await keep(both, tenant, at, new(entry("begun before", manual), asked_s_ago=60.0))
    assert await keep(both, tenant, at, new(entry("of another", named_by_caller("else@7")), asked_s_ago=60.0))


async def test_a_version_that_was_evicted_is_never_kept_again(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    await both.rows.evict(tenant, [named_by_caller("manual@7")])
    assert not await keep(both, tenant, at, new(entry("late", named_by_caller("manual@7")), asked_s_ago=-60.0))
    assert await keep(both, tenant, at, new(entry("new", named_by_caller("manual@8")), asked_s_ago=60.0))
    assert await both.rows.changed(tenant, [named_by_caller("manual@7")]) == {named_by_caller("manual@7"): inf}


async def test_what_has_changed_is_told_with_when(both: Both, tenant: TenantId) -> None:
    await both.set_document(tenant, OLD, version="v1")
    manual, other = named_by_caller("manual@7"), named_by_caller("else")
    assert await both.rows.changed(tenant, [OLD, manual, other]) == {}
    await both.set_document(tenant, OLD, version="v2")
    await both.rows.evict(tenant, [named_by_caller("manual")])
    changed = await both.rows.changed(tenant, [OLD, NEW, manual, other])
    assert set(changed) == {OLD, manual}
    assert changed[OLD] == inf
    assert changed[manual] < inf


async def test_a_reset_empties_a_scope_and_what_began_before_it_is_not_kept(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    await both.set_document(tenant, OLD, version="v1")
    kept = entry("kept", OLD)
    await keep(both, tenant, at, new(kept), Seen(uuid7(), SEEN))
    await both.rows.count(tenant, [Uses(at, 3, 1)])
    assert not await both.rows.reset(await both.new_tenant(), at.id)
    assert await both.rows.reset(tenant, at.id)
    assert await both.rows.answer(tenant, at, kept.id) is None
    assert not await keep(both, tenant, at, new(entry("late")))
    await both.rows.count(tenant, [Uses(at, 5, 5)])
    (news,) = await both.rows.news(tenant, [Since(at.id, BEGINNING)])
    assert (news.epoch, len(news.entries), len(news.seen)) == (1, 0, 0)
    shown = await both.rows.show(tenant, at.id)
    assert shown is not None
    assert (shown.status.hits, shown.status.entries) == (0, 0)
    assert await keep(both, tenant, await both.rows.open_scope(tenant, facts()), new(entry("after")))


async def test_scopes_are_told_in_pages_with_what_they_are_worth(both: Both, tenant: TenantId) -> None:
    made = [await both.rows.open_scope(tenant, facts(bytes([n]) * 32)) for n in range(3)]
    first_made, *_ = made = sorted(made, key=lambda at: at.id)
    await both.rows.count(tenant, [Uses(first_made, 3, 1)])
    await keep(both, tenant, first_made, new(entry()))
    first = await both.rows.page(tenant, before=None, limit=2)
    rest = await both.rows.page(tenant, before=first[-1].id, limit=2)
    assert [each.id for each in first + rest] == [at.id for at in reversed(made)]
    (oldest,) = rest
    assert (oldest.status.hits, oldest.status.checks, oldest.status.entries) == (3, 1, 1)
    assert (oldest.facts.model, oldest.name) == ("m", f"scope_{first_made.id.hex}")
    assert (oldest.status.bound, oldest.status.max_false_hits) == (0.4, 0.02)


async def test_entries_are_bounded(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    for n in range(64):
        await keep(both, tenant, at, new(entry(str(n))), most=10)
    shown = await both.rows.show(tenant, at.id)
    assert shown is not None
    assert shown.status.entries == 10


async def test_scopes_are_bounded_and_the_least_used_gives_way(
    both: Both, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fake", "postgres"):
        monkeypatch.setattr(f"tenfold.cache.semantic.{module}.MAX_SCOPES", 2)
    assert MAX_SCOPES > 2
    for n in range(4):
        at = await both.rows.open_scope(tenant, facts(bytes([n]) * 32))
        await keep(both, tenant, at, new(entry()))
    assert len(await both.rows.page(tenant, before=None, limit=10)) == 2


async def test_what_was_kept_for_long_enough_goes(both: Both, tenant: TenantId) -> None:
    at = await both.rows.open_scope(tenant, facts())
    await keep(both, tenant, at, new(entry(), ttl_s=-3600.0))
    await both.rows.evict(tenant, [named_by_caller("manual")])
    far = datetime(2000, 1, 1, tzinfo=UTC)
    assert tenant in await both.rows.tenants_expired(far)
    assert await both.rows.expire(tenant, far, limit=10) == 1
    assert tenant not in await both.rows.tenants_expired(far)
    soon = datetime.now(UTC) + timedelta(days=1)
    assert await both.rows.expire(tenant, soon, limit=10) == 2
    assert await both.rows.page(tenant, before=None, limit=10) == []


def test_a_document_is_read_as_it_is_written() -> None:
    for document in (
        OLD,
        Document("", "manual", "7"),
        Document("kb", "https://x.y/a@b/c", "h"),
        Document("k", "n", ""),
    ):
        assert document_of(str(document)) == document
    assert named_by_caller(" manual@7 ") == Document("", "manual", "7")
    assert named_by_caller("manual") == Document("", "manual", "")
