"""Names are cleaned or refused; nothing naughty passes, and nothing raises anything but InvalidRequest."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.access import names
from tenfold.core.errors import InvalidRequest
from tests.support.naughty import naughty_strings


def _clean(check: Callable[[str], str], value: str) -> str | None:
    try:
        return check(value)
    except InvalidRequest:
        return None


@given(value=st.text(st.characters(exclude_categories=())))
def test_a_display_name_is_one_storable_line_and_checking_it_again_changes_nothing(value: str) -> None:
    name = _clean(names.display_name, value)

    if name is not None:
        assert 1 <= len(name) <= names.MAX_NAME_CHARS
        assert len(name.splitlines()) == 1
        assert "\x00" not in name
        name.encode("utf-8")
        assert names.display_name(name) == name


def test_naughty_strings_are_cleaned_or_refused() -> None:
    for value in naughty_strings():
        for check in (names.display_name, names.tenant_slug, names.login_name, names.installed_secret):
            _clean(check, value)


@given(value=st.text())
def test_a_slug_made_from_any_name_is_a_slug(value: str) -> None:
    slug = names.slug_from(value)

    assert names.tenant_slug(slug) == slug


@pytest.mark.parametrize("name", ["Acme", "Æsir & Söhne", "東京", "🏳️‍🌈", "O'Brien <x>", "a" * 80])
def test_ordinary_names_pass_as_they_are(name: str) -> None:
    assert names.display_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "\u200b", "a\x00", "a\nb", "\u202eabc", "\ud800", "a" * 81])
def test_names_that_cannot_be_shown_or_stored_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        names.display_name(name, param="tenant_name")
    assert refused.value.param == "tenant_name"


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a" * 64, "a.b", "ä", "a\n"])
def test_slugs_that_are_refused(slug: str) -> None:
    with pytest.raises(InvalidRequest):
        names.tenant_slug(slug)


def test_a_login_ignores_case_and_blanks_around() -> None:
    assert names.login_name("  Ann@Example.org ") == "ann@example.org"


@pytest.mark.parametrize("login", ["", "ab", "a b c", "änn@example.org", "a" * 255, "a\x00bc", "@abc", "abc\n@"])
def test_logins_that_are_refused(login: str) -> None:
    with pytest.raises(InvalidRequest):
        names.login_name(login)


@pytest.mark.parametrize("password", ["", "short12", "a" * 257, "aaaaaaaaaa", "ann@example.org", "ANN@example.org"])
def test_passwords_that_are_refused(password: str) -> None:
    with pytest.raises(InvalidRequest):
        names.new_password(password, "ann@example.org")


def test_a_password_may_be_any_long_text() -> None:
    assert names.new_password("pässwörter sind schön 🙂", "ann") == "pässwörter sind schön 🙂"


@pytest.mark.parametrize("scopes", [frozenset[str](), frozenset({"inference", "root"})])
def test_unknown_scopes_are_refused(scopes: frozenset[str]) -> None:
    with pytest.raises(InvalidRequest):
        names.key_scopes(scopes)
