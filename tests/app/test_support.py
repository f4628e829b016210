"""What the assistant searches in: a tenant's own documents where it has any, else the documentation; and its policy."""

from pathlib import Path

from tenfold.app.settings import load
from tenfold.app.support import SUPPORT_STORE, SupportKnowledge, passage_url, policy_of
from tenfold.assistant.fake import FakeSearcher
from tenfold.assistant.types import Hit
from tenfold.core.principal import Principal
from tests.retrieval.vector_stores.house import House
from tests.support.pipeline import principal

DOCUMENTATION = Hit(title="Quickstart", url="/docs/quickstart", text="Run make up.", relevance=0.9)


async def _uploaded(house: House, who: Principal, title: str, text: bytes) -> str:
    store = await house.stores.obtain(who, title)
    file = await house.upload(who, text)
    async with house.working():
        await house.files.add(who, store.public_id, file.public_id)
        await house.done(who, store.public_id)
    return file.public_id


async def test_a_tenants_own_documents_are_searched_and_nobody_elses() -> None:
    house, who, other = House(), principal(), principal("other")
    searcher = SupportKnowledge(house.stores, house.search, FakeSearcher([DOCUMENTATION]))
    file = await _uploaded(house, who, SUPPORT_STORE, b"Clean the filter every 30 days.")

    (found,) = await searcher.search(who, "filter", limit=3)
    assert (found.title, found.text) == ("manual.txt", "Clean the filter every 30 days.")
    assert found.url == passage_url(file, found.span)
    assert f"/{file}@" in found.document
    assert await searcher.search(other, "filter", limit=3) == [DOCUMENTATION]


async def test_without_documents_of_its_own_the_documentation_is_searched() -> None:
    house, who = House(), principal()
    searcher = SupportKnowledge(house.stores, house.search, FakeSearcher([DOCUMENTATION]))
    assert await searcher.search(who, "filter", limit=3) == [DOCUMENTATION]
    await house.stores.obtain(who, SUPPORT_STORE)  # empty
    assert await searcher.search(who, "filter", limit=3) == [DOCUMENTATION]
    await _uploaded(house, who, "something else", b"Clean the filter every 30 days.")
    assert await searcher.search(who, "filter", limit=3) == [DOCUMENTATION]


def test_a_place_in_a_document_has_an_address() -> None:
    assert passage_url("file-1a", (3, 9)) == "/knowledge/file-1a?from=3&to=9#cited"
    assert passage_url("a/../b?c", (0, 1)) == "/knowledge/a%2F..%2Fb%3Fc?from=0&to=1#cited"


def test_the_policy_is_what_the_settings_say(tmp_path: Path) -> None:
    file = tmp_path / "tenfold.toml"
    file.write_text(
        """
        [assistant]
        larger_model = "offline-extractive"
        hand_off = ["asked"]
        hand_off_below = 0.2
        keep_days = 7

        [smtp]
        host = "mail.example.com"
        sender = "help@example.com"
        """
    )
    policy = policy_of(load(file, tmp_path, {}))
    assert (policy.larger, set(policy.hand_off.on), policy.hand_off.below) == ("offline-extractive", {"asked"}, 0.2)
    assert (policy.keep_s, policy.mail is not None and policy.mail.domain) == (7 * 86_400, "example.com")
    assert policy_of(load(None, tmp_path, {})).mail is None
