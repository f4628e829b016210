"""A script is cut at the semicolons that end a statement, and at no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.store.migration_files import statements


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';';SELECT 2;", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s; fine'; SELECT 2", ["SELECT 'it''s; fine'", "SELECT 2"]),
        (r"SELECT E'\'; still'; SELECT 2", [r"SELECT E'\'; still'", "SELECT 2"]),
        ('SELECT 1 AS "a;b"; SELECT 2', ['SELECT 1 AS "a;b"', "SELECT 2"]),
        ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"]),
        ("DO $a$ $b$; $b$ $a$; SELECT 2", ["DO $a$ $b$; $b$ $a$", "SELECT 2"]),
        ("SELECT 1 -- no; end\n; SELECT 2", ["SELECT 1 -- no; end", "SELECT 2"]),
        ("SELECT 1 /* no; end */; SELECT 2", ["SELECT 1 /* no; end */", "SELECT 2"]),
        ("SELECT $1; SELECT $2", ["SELECT $1", "SELECT $2"]),
        ("-- nothing; at all\n/* ; */\n;;", []),
        ("", []),
    ],
)
def test_known_scripts(script: str, expected: list[str]) -> None:
    assert statements(script) == expected


_quiet = st.text(st.characters(exclude_characters="'\"$;-/*\\", exclude_categories=["Cs"]), max_size=8)
_pieces = st.one_of(
    _quiet.map(lambda text: f"x{text}"),
    st.text("a;'", max_size=6).map(lambda text: " '" + text.replace("'", "''") + "' "),
    st.text('a;"', max_size=6).map(lambda text: ' "' + text.replace('"', '""') + '" '),
    st.text("a;'\n-", max_size=6).map(lambda text: f" $q$ {text} $q$ "),
    st.text("a;' ", max_size=6).map(lambda text: f" --{text}\n"),
)
_statements = st.lists(_pieces, min_size=1, max_size=4).map(lambda pieces: "SELECT " + "".join(pieces))


@given(st.lists(_statements, max_size=5))
def test_what_is_joined_is_cut_again(wanted: list[str]) -> None:
    assert statements(";\n".join(wanted)) == [statement.strip() for statement in wanted]
