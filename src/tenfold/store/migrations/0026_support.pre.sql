-- Support tickets: a question, and what the assistant or people said to it, until nothing has happened for long. (Calls
-- that are answered later have tickets as well; those are jobs, and have no table.)

CREATE TABLE support_tickets (
    tenant_id     uuid NOT NULL REFERENCES tenants (id),
    id            uuid NOT NULL,        -- seen outside as sup_<hex>; of its first question
    state         text NOT NULL CHECK (state IN ('waiting', 'answered', 'handed_off', 'claimed', 'replied', 'closed')),
    subject       text NOT NULL,
    end_user      text,
    email         text,
    token         bytea,                -- digest of what lets a visitor of a web page reach it
    hand_off      text,                 -- why it was handed to a person
    handed_off_at timestamptz,
    claimed_by    text,
    claimed_at    timestamptz,
    helpful       boolean,
    messages      integer NOT NULL DEFAULT 0,
    version       bigint NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX support_tickets_queued ON support_tickets (tenant_id, handed_off_at, id)
    WHERE state IN ('handed_off', 'claimed');
CREATE INDEX support_tickets_by_user ON support_tickets (tenant_id, end_user, id) WHERE end_user IS NOT NULL;
CREATE INDEX support_tickets_by_change ON support_tickets (tenant_id, updated_at);
ALTER TABLE support_tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE support_tickets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON support_tickets
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON support_tickets TO tenfold_app;

CREATE TABLE support_messages (
    tenant_id  uuid NOT NULL,
    ticket_id  uuid NOT NULL,
    number     integer NOT NULL,        -- from 1, without gaps
    id         uuid NOT NULL,           -- seen outside as msg_<hex>; a question's job has the same
    role       text NOT NULL CHECK (role IN ('user', 'assistant', 'agent')),
    text       text NOT NULL,
    author     text NOT NULL DEFAULT '',
    pending    boolean NOT NULL DEFAULT false, -- a question that the assistant has not answered
    answers    uuid,                    -- the question that it is the assistant's answer to
    answer     jsonb,                   -- outcome, citations, confidence, prompt version, model, latency, tokens, cost
    helpful    boolean,
    comment    text NOT NULL DEFAULT '',
    judged_at  timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, ticket_id, number),
    UNIQUE (tenant_id, ticket_id, id),
    UNIQUE (tenant_id, ticket_id, answers),
    FOREIGN KEY (tenant_id, ticket_id) REFERENCES support_tickets (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE support_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE support_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON support_messages
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON support_messages TO tenfold_app;

-- Which of these tenants have tickets in which nothing happened for so many seconds. It runs with the rights of whoever
-- calls it and looks into one tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_old_support_tickets(among uuid[], keep_s float8) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM support_tickets t
                   WHERE t.tenant_id = tenant AND t.updated_at <= now() - make_interval(secs => keep_s)) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_old_support_tickets(uuid[], float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_old_support_tickets(uuid[], float8) TO tenfold_app;
