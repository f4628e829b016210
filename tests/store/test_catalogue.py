"""The rules of a schema that can be spread over many servers, checked on what the migrations really made.

A tenant table has the column tenant_id. Every other table, and every table that is read before a tenant is known, is a
directory table and stands in the list below; the list stays short.
"""

from collections.abc import Sequence
from importlib.resources import files

import asyncpg
import pytest

from tenfold.store.connect import APP_ROLE, Connection
from tests.store.conftest import NOTES

DIRECTORY_TABLES = {
    "migrations",  # what has run; the app's role cannot even read it
    "tenants",
    "key_directory",  # digest of an API key -> tenant
    "login_directory",  # login name -> tenant
    "session_directory",  # digest of a session token -> tenant
    "members",  # serving processes that share the database
    "tenant_changes",  # what processes keep in memory of a tenant, and must read again
    "common_changes",  # the same of what is no tenant's
    "breaker_states",  # which circuit breakers of providers are open, for all processes
    "operator_flags",  # feature flags of the whole installation
    "operator_kills",  # what is switched off for all tenants
    "operator_flag_changes",  # and who changed which of them
    "budget_holders",  # process -> tenants in which it has leases
    "budget_alert_tenants",  # tenants that have alerts to deliver
    "schedule_due",  # which schedules of which tenants are due when, for all processes
    "job_queue",  # which jobs wait or run, of all tenants
    "job_turns",  # whose turn it is among the tenants that wait
    "job_workers",  # processes that do jobs
}

# Run with the rights of their owner, so each is a hole in the wall: with a fixed search path, and not for everyone.
DEFINER_FUNCTIONS = {
    "ensure_receipt_partitions",  # the app may not create tables; takes a day and a number of days
    "drop_receipt_partitions",  # nor drop any; takes a number of days, and drops no day younger than 35
}

# Partitions are tables as well and are reached on their own, so they are held to the same rules.
TABLES = """
SELECT c.oid, c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       pg_get_userbyid(c.relowner) AS owner,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
               AND NOT a.attisdropped) AS of_tenants,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull
               AND a.atttypid = 'uuid'::regtype) AS tenant_is_a_uuid,
       coalesce(pg_get_partkeydef(c.oid), pg_get_partkeydef(
           (SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid AND c.relispartition))
       ) = 'HASH (tenant_id)' AS cut_by_tenant,
       has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
         OR has_table_privilege($1, c.oid, 'DELETE, TRUNCATE') AS reachable,
       has_table_privilege($1, c.oid, 'TRUNCATE, TRIGGER, REFERENCES') AS overpowered
FROM pg_class c
WHERE c.relnamespace = 'tenfold'::regnamespace AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT polname, polpermissive, polcmd::text AS command, pg_get_expr(polqual, polrelid) AS using,
       pg_get_expr(polwithcheck, polrelid) AS with_check
FROM pg_policy WHERE polrelid = $1
"""
# Keys, unique constraints and plain indexes alike; an index on an expression has attnum 0 there.
INDEXES = """
SELECT i.indexrelid::regclass::text AS name, am.amname AS method, i.indisexclusion AS exclusion,
       (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]) AS first
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid = $1
"""
FOREIGN_KEYS = """
SELECT k.conname AS name, k.condeferrable AS deferrable, target.relname AS target,
       (SELECT attname FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = k.conkey[1]) AS first,
       (SELECT attname FROM pg_attribute WHERE attrelid = k.confrelid AND attnum = k.confkey[1]) AS target_first
FROM pg_constraint k JOIN pg_class target ON target.oid = k.confrelid
WHERE k.conrelid = $1 AND k.contype = 'f'
"""
FORBIDDEN = """
SELECT 'sequence ' || relname FROM pg_class WHERE relnamespace = 'tenfold'::regnamespace AND relkind = 'S'
UNION ALL
SELECT 'trigger ' || tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'tenfold'::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT 'identity column ' || attrelid::regclass || '.' || attname FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'tenfold'::regnamespace AND a.attidentity <> ''
UNION ALL
SELECT 'rule ' || rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE c.relnamespace = 'tenfold'::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'inheritance of ' || inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
WHERE c.relnamespace = 'tenfold'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT 'second level of partitions ' || relname FROM pg_class
WHERE relnamespace = 'tenfold'::regnamespace AND relkind = 'p' AND relispartition
UNION ALL
SELECT 'function with the rights of its owner ' || proname FROM pg_proc
WHERE pronamespace = 'tenfold'::regnamespace AND prosecdef
  AND NOT (proname = ANY ($1) AND array_to_string(proconfig, ' ') LIKE 'search_path=%'
           AND NOT has_function_privilege('public', oid, 'EXECUTE'))
UNION ALL
SELECT 'view with the rights of its owner ' || relname FROM pg_class
WHERE relnamespace = 'tenfold'::regnamespace AND relkind IN ('v', 'm')
  AND NOT coalesce(reloptions @> '{security_invoker=true}', false)
"""
EXPECTED_POLICY = "(tenant_id = tenfold.tenant_id())"
# These take no tenant_id in front, so they are for tables whose partitions cut by tenant.
UNSORTED_METHODS = {"hnsw", "ivfflat", "gin"}


async def violations(owner: Connection) -> list[str]:
    await owner.execute("RESET search_path")  # expressions are told with the names that are not on it
    found: list[str] = [str(row[0]) for row in await owner.fetch(FORBIDDEN, list(DEFINER_FUNCTIONS))]
    for table in await owner.fetch(TABLES, APP_ROLE):
        name = table["name"]
        if table["owner"] == APP_ROLE:
            found.append(f"{name}: the app's role owns it")
        if table["overpowered"]:
            found.append(f"{name}: the app's role may truncate it or hang triggers and references on it")
        if name in DIRECTORY_TABLES:
            continue
        if not table["of_tenants"]:
            found.append(f"{name}: has no tenant_id and is not in the list of directory tables")
            continue
        if not table["tenant_is_a_uuid"]:
            found.append(f"{name}: tenant_id is not `uuid NOT NULL`")
        found += await key_violations(owner, table)
        if table["reachable"]:
            found += await policy_violations(owner, table)
    return found


async def key_violations(owner: Connection, row: asyncpg.Record) -> list[str]:
    found = []
    oid, table = row["oid"], row["name"]
    indexes = await owner.fetch(INDEXES, oid)
    if not indexes:
        found.append(f"{table}: has no key")
    for index in indexes:
        if index["exclusion"] or index["method"] == "gist":
            found.append(f"{index['name']}: exclusion constraints and GiST cannot be distributed")
        elif index["first"] != "tenant_id" and not (row["cut_by_tenant"] and index["method"] in UNSORTED_METHODS):
            found.append(f"{index['name']}: tenant_id does not come first")
    for key in await owner.fetch(FOREIGN_KEYS, oid):
        to_directory = key["target"] in DIRECTORY_TABLES
        if key["first"] != "tenant_id" or not (to_directory or key["target_first"] == "tenant_id"):
            found.append(f"{table}.{key['name']}: tenant_id does not come first")
        if key["deferrable"]:
            found.append(f"{table}.{key['name']}: is deferrable")
    return found


async def policy_violations(owner: Connection, table: asyncpg.Record) -> list[str]:
    policies = await owner.fetch(POLICIES, table["oid"])
    found = []
    if not (table["enabled"] and table["forced"]):
        found.append(f"{table['name']}: row-level security is not enabled and forced")
    if not policies:
        found.append(f"{table['name']}: has no policy")
    found += [
        f"{table['name']}.{policy['polname']}: is not the policy of the pattern"
        for policy in policies
        if (policy["using"], policy["with_check"], policy["command"]) != (EXPECTED_POLICY, EXPECTED_POLICY, "*")
    ]
    return found


async def test_the_migrated_schema_keeps_the_rules(owner: Connection) -> None:
    assert await violations(owner) == []


async def test_the_list_of_directory_tables_names_no_table_that_is_gone(owner: Connection) -> None:
    tables = {row["name"] for row in await owner.fetch(TABLES, APP_ROLE)}
    assert tables >= DIRECTORY_TABLES


async def test_the_documented_pattern_keeps_the_rules(owner: Connection) -> None:
    """The example of migrations/README.md, run as it stands there."""
    text = (files("tenfold.store") / "migrations" / "README.md").read_text(encoding="utf-8")
    example = text.partition("```sql\n")[2].partition("```")[0]
    await owner.execute("SET search_path = tenfold, public")
    await owner.execute(
        "CREATE TABLE threads (tenant_id uuid NOT NULL REFERENCES tenants (id), id uuid, PRIMARY KEY (tenant_id, id))"
    )
    await owner.execute(example)
    assert await owner.fetchval("SELECT to_regclass('tenfold.notes')") == "notes"
    assert await violations(owner) == []


async def test_vectors_are_indexed_where_partitions_cut_by_tenant(owner: Connection) -> None:
    await owner.execute("SET search_path = tenfold, public")
    table = "(tenant_id uuid NOT NULL, id uuid, e halfvec(3), PRIMARY KEY (tenant_id, id))"
    await owner.execute(f"CREATE TABLE parts {table} PARTITION BY HASH (tenant_id)")
    await owner.execute("CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    await owner.execute("CREATE INDEX near ON parts USING hnsw (e halfvec_cosine_ops)")
    assert await violations(owner) == []
    await owner.execute(f"CREATE TABLE tenfold.whole {table}")
    await owner.execute("CREATE INDEX far ON tenfold.whole USING hnsw (e halfvec_cosine_ops)")
    assert await violations(owner) == ["tenfold.far: tenant_id does not come first"]


@pytest.fixture
async def pattern(owner: Connection) -> Connection:
    await owner.execute("SET search_path = tenfold, public")
    await owner.execute(NOTES)
    return owner


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["ALTER TABLE notes NO FORCE ROW LEVEL SECURITY"], "not enabled and forced"),
        (["ALTER TABLE notes DISABLE ROW LEVEL SECURITY"], "not enabled and forced"),
        (["DROP POLICY tenant ON notes"], "has no policy"),
        (["CREATE POLICY open ON notes USING (true) WITH CHECK (true)"], "not the policy of the pattern"),
        (
            ["CREATE POLICY r ON notes FOR SELECT USING (tenant_id = tenant_id())"],
            "not the policy of the pattern",
        ),
        (["ALTER TABLE notes ALTER tenant_id DROP NOT NULL"], 'column "tenant_id" is in a primary key'),
        (["CREATE INDEX wrong ON notes (id)"], "tenfold.wrong: tenant_id does not come first"),
        (["CREATE INDEX wrong ON notes ((body->>'a'), tenant_id)"], "wrong: tenant_id does not come first"),
        (["ALTER TABLE notes ADD UNIQUE (id, tenant_id)"], "tenant_id does not come first"),
        (
            [
                "ALTER TABLE notes ADD up uuid, ADD UNIQUE (tenant_id, id)",
                "ALTER TABLE notes ADD CONSTRAINT parent FOREIGN KEY (up, tenant_id) REFERENCES notes (id, tenant_id)",
            ],
            "parent: tenant_id does not come first",
        ),
        (["ALTER TABLE notes ADD number serial"], "sequence notes_number_seq"),
        (["ALTER TABLE notes ADD number int GENERATED ALWAYS AS IDENTITY"], "identity column"),
        (["CREATE TABLE loose (id uuid PRIMARY KEY)"], "loose: has no tenant_id"),
        (["CREATE TABLE copy (tenant_id uuid NOT NULL)"], "copy: has no key"),
        (["ALTER TABLE notes OWNER TO tenfold_app"], "the app's role owns it"),
        (["GRANT TRUNCATE ON notes TO tenfold_app"], "may truncate it"),
        (
            ["CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1"],
            "function with the rights of its owner",
        ),
        (["CREATE VIEW all_notes AS SELECT * FROM notes"], "view with the rights of its owner"),
        (
            [
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION f()",
            ],
            "trigger t",
        ),
        (
            [
                "CREATE TABLE parts (tenant_id uuid, PRIMARY KEY (tenant_id)) PARTITION BY HASH (tenant_id)",
                "CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
                "GRANT SELECT ON part_0 TO tenfold_app",
            ],
            "part_0: row-level security is not enabled",
        ),
    ],
)
async def test_a_breach_is_found(pattern: Connection, statements: Sequence[str], told: str) -> None:
    try:
        for statement in statements:
            await pattern.execute(statement)
    except asyncpg.PostgresError as refused:
        assert told in str(refused)  # Postgres itself sees to it
        return
    assert any(told in violation for violation in await violations(pattern))
