-- What processes tell each other of the providers. Directory tables: no tenant's data is in them.

-- That something has changed which is no tenant's and which processes keep in memory; beside tenant_changes.
CREATE TABLE common_changes (
    topic       text PRIMARY KEY CHECK (length(topic) <= 40),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id() -- see key_directory
);
GRANT SELECT, INSERT, UPDATE (changed_xid) ON common_changes TO tenfold_app;

-- The last change of each circuit breaker that a process made of its own experience. An open one ends by itself.
CREATE TABLE breaker_states (
    provider   text NOT NULL,
    model      text NOT NULL, -- as the provider names it
    state      text NOT NULL CHECK (state IN ('open', 'closed')),
    holder     uuid NOT NULL, -- the process
    change_id  uuid NOT NULL,
    changed_at timestamptz NOT NULL, -- by the clock of the database
    until      timestamptz NOT NULL,
    PRIMARY KEY (provider, model)
);
GRANT SELECT, INSERT, UPDATE (state, holder, change_id, changed_at, until) ON breaker_states TO tenfold_app;
