-- Schedules: what each one fires next, what was fired; and what webhooks have delivered. Times are epoch microseconds.

-- Which revision of a flow the rows of its triggers were made from, by which version of the code that reads them.
CREATE TABLE trigger_flow (
    tenant    text NOT NULL,
    namespace text NOT NULL,
    flow_id   text NOT NULL,
    revision  int  NOT NULL,
    format    int  NOT NULL,
    error     text,            -- why this revision can not be read
    PRIMARY KEY (tenant, namespace, flow_id)
);

CREATE TABLE trigger_state (
    uid              text   PRIMARY KEY,      -- tenant/namespace/flow/trigger
    tenant           text   NOT NULL,
    namespace        text   NOT NULL,
    flow_id          text   NOT NULL,
    trigger_id       text   NOT NULL,
    type             text   NOT NULL,
    revision         int    NOT NULL,
    shard            int    NOT NULL,         -- spreads the work over schedulers
    definition       text   NOT NULL,         -- JSON: all that firing needs, so that no flow is parsed for it
    signature        text   NOT NULL,         -- what the dates depend on: while it stays, next_slot stays
    allow_concurrent bool   NOT NULL,
    stop_after       text[],
    active           bool   NOT NULL,         -- neither flow nor trigger are declared `disabled`
    disabled         bool   NOT NULL DEFAULT false,  -- switched off: by a person, a task, or stopAfter
    enabled_at       bigint NOT NULL,         -- what was fired before counts no more for stopAfter
    next_slot        bigint,                  -- NULL: nothing will be fired
    probe            bool   NOT NULL,         -- next_slot is no date of the schedule, but where to look for the first one
    last_slot        bigint,
    last_fired       bigint,
    last_execution   text,
    skipped          bigint NOT NULL DEFAULT 0,      -- dates that were left out: missed, too late, beyond the limit
    note             text,                    -- the last of what people should know: what was left out, why it was stopped
    error            text,
    updated          bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX trigger_state_due ON trigger_state (next_slot) WHERE next_slot IS NOT NULL;
CREATE INDEX trigger_state_flow ON trigger_state (tenant, namespace, flow_id);

-- One row per date that was fired: the primary key is why a date is fired once, however many schedulers look at it.
CREATE TABLE trigger_fire (
    uid          text   NOT NULL,
    slot         bigint NOT NULL,
    execution_id text   NOT NULL,
    at           bigint NOT NULL,
    sent         bool   NOT NULL DEFAULT false,
    claimed      bigint NOT NULL,             -- who finds it unsent for long sends it again
    body         bytea,                       -- the command; NULL once it was sent
    PRIMARY KEY (uid, slot)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
CREATE INDEX trigger_fire_unsent ON trigger_fire (claimed) WHERE NOT sent;
CREATE INDEX trigger_fire_at ON trigger_fire (at);

-- Which transaction wrote a revision: with it "what is new since I looked" misses nothing that was committed late.
-- Revisions from before have none; a scheduler reads everything once when it starts.
ALTER TABLE flow ADD COLUMN written xid8;
ALTER TABLE flow ALTER COLUMN written SET DEFAULT pg_current_xact_id();
CREATE INDEX flow_written ON flow (written);

-- A sender that repeats itself gets the execution that its first request started.
CREATE TABLE webhook_delivery (
    tenant       text   NOT NULL,
    namespace    text   NOT NULL,
    flow_id      text   NOT NULL,
    key          text   NOT NULL,
    execution_id text   NOT NULL,
    at           bigint NOT NULL,
    sent         bool   NOT NULL DEFAULT false,  -- false: the start may have to be sent again
    PRIMARY KEY (tenant, namespace, flow_id, key)
);
CREATE INDEX webhook_delivery_at ON webhook_delivery (at);
