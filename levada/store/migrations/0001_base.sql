-- Flows, executions, their events and work; the embedded bus. Times are epoch microseconds (UTC), JSON is text as encoded.
-- Only core features: the embedded server has no extensions.

CREATE TABLE flow (
    tenant      text   NOT NULL,
    namespace   text   NOT NULL,
    id          text   NOT NULL,
    revision    int    NOT NULL,
    source      text   NOT NULL,
    updated     bigint NOT NULL,
    disabled    bool   NOT NULL DEFAULT false,
    deleted     bool   NOT NULL DEFAULT false,
    draft       bool   NOT NULL DEFAULT false,
    labels      jsonb  NOT NULL DEFAULT '{}',
    description text,
    PRIMARY KEY (tenant, namespace, id, revision)
);

CREATE TABLE execution (
    id            text   PRIMARY KEY,
    tenant        text   NOT NULL,
    namespace     text   NOT NULL,
    flow_id       text   NOT NULL,
    flow_revision int    NOT NULL,
    state         text   NOT NULL,
    created       bigint NOT NULL,
    ended         bigint,
    parent_id     text,
    trigger_execution_id text,
    kind          text,
    labels        jsonb  NOT NULL DEFAULT '{}',
    deleted       bool   NOT NULL DEFAULT false,
    seq           int    NOT NULL,
    head          text   NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX execution_created ON execution (tenant, created DESC);
CREATE INDEX execution_flow ON execution (tenant, namespace, flow_id, created DESC);
CREATE INDEX execution_parent ON execution (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX execution_labels ON execution USING gin (labels jsonb_path_ops);
-- By `ended`, not by state: a change between live states then touches no index.
CREATE INDEX execution_live ON execution (tenant, created DESC) WHERE ended IS NULL;

-- The history, one row per turn: `events` is the JSON array of what the turn recorded, `seq` the number of its first.
-- Tables by time have one partition per day, made ahead and dropped by store/postgres/partitions.py.
CREATE TABLE execution_event (
    execution_id text   NOT NULL,
    seq          int    NOT NULL,
    at           bigint NOT NULL,
    events       text   NOT NULL,
    PRIMARY KEY (execution_id, seq, at)
) PARTITION BY RANGE (at);
CREATE TABLE execution_event_default PARTITION OF execution_event DEFAULT;

-- One row per task run: its state (written by the executor) and the lease of its present attempt (written by claims).
CREATE TABLE task_run (
    execution_id text   NOT NULL,
    id           text   NOT NULL,
    n            bigint NOT NULL,  -- ascending in order of creation within the execution
    state        text   NOT NULL,
    body         text   NOT NULL,
    lease        text,             -- NULL, 'submitted', 'claimed', 'cancel'
    job          text,
    queue        text,
    priority     int,
    attempt      int,
    submitted    bigint,
    worker       text,
    token        text,
    lease_until  bigint,
    PRIMARY KEY (execution_id, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
CREATE INDEX task_run_queue ON task_run (queue, priority DESC, submitted) WHERE lease = 'submitted';
-- Not by lease_until: a renewal then touches no index, and what is claimed at one time is little enough to scan.
CREATE INDEX task_run_lease ON task_run (worker) WHERE lease IN ('claimed', 'cancel');

CREATE TABLE timer (
    execution_id text   NOT NULL,
    seq          int    NOT NULL,
    kind         text   NOT NULL,
    due          bigint NOT NULL,
    task_run_id  text,
    fired        bool   NOT NULL DEFAULT false,
    PRIMARY KEY (execution_id, seq, kind)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX timer_due ON timer (due) WHERE NOT fired;

-- Who holds or waits for a concurrency slot: a set of executions, never a counter.
CREATE TABLE concurrency_flow (
    flow_key text PRIMARY KEY
);
CREATE TABLE concurrency_slot (
    flow_key     text   NOT NULL,
    execution_id text   NOT NULL,
    holds        bool   NOT NULL,
    at           bigint NOT NULL,
    PRIMARY KEY (flow_key, execution_id)
);
CREATE INDEX concurrency_waiting ON concurrency_slot (flow_key, at) WHERE NOT holds;

-- The fence and the read position of every partition of the commands topic.
CREATE TABLE bus_owner (
    topic     text   NOT NULL,
    part      int    NOT NULL,
    epoch     bigint NOT NULL DEFAULT 0,
    owner     text,
    done_off  bigint NOT NULL DEFAULT 0,
    out_next  bigint NOT NULL DEFAULT 0,
    relay_off bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, part)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE out_log (
    part int    NOT NULL,
    off  bigint NOT NULL,
    at   bigint NOT NULL,
    body text   NOT NULL,
    PRIMARY KEY (part, off, at)
) PARTITION BY RANGE (at);
CREATE TABLE out_log_default PARTITION OF out_log DEFAULT;

-- The embedded bus: the head row makes commit order equal offset order, so readers never miss a record.
CREATE TABLE bus_head (
    topic    text   NOT NULL,
    part     int    NOT NULL,
    next_off bigint NOT NULL DEFAULT 0,
    trimmed  bigint NOT NULL DEFAULT 0,  -- records before it may go
    PRIMARY KEY (topic, part)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE bus_log (
    topic text   NOT NULL,
    part  int    NOT NULL,
    off   bigint NOT NULL,
    at    bigint NOT NULL,
    key   text   NOT NULL,
    id    text   NOT NULL,
    body  bytea  NOT NULL,
    PRIMARY KEY (topic, part, off, at)
) PARTITION BY RANGE (at);
CREATE TABLE bus_log_default PARTITION OF bus_log DEFAULT;

CREATE TABLE dead_letter (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic    text   NOT NULL,
    part     int    NOT NULL,
    off      bigint NOT NULL,
    key      text   NOT NULL,
    reason   text   NOT NULL,
    detail   text,
    body     bytea  NOT NULL,
    at       bigint NOT NULL,
    replayed bigint
);

CREATE TABLE log (
    tenant       text   NOT NULL,
    namespace    text   NOT NULL,
    flow_id      text   NOT NULL,
    execution_id text   NOT NULL,
    task_id      text,
    task_run_id  text,
    attempt      int,
    trigger_id   text,
    level        smallint NOT NULL,  -- 0 TRACE … 4 ERROR
    at           bigint NOT NULL,
    seq          int    NOT NULL,
    thread       text,
    message      text   NOT NULL
) PARTITION BY RANGE (at);
CREATE TABLE log_default PARTITION OF log DEFAULT;
CREATE INDEX log_execution ON log (execution_id, at);

CREATE TABLE metric (
    tenant       text   NOT NULL,
    namespace    text   NOT NULL,
    flow_id      text   NOT NULL,
    execution_id text   NOT NULL,
    task_id      text   NOT NULL,
    task_run_id  text   NOT NULL,
    name         text   NOT NULL,
    kind         text   NOT NULL,
    value        double precision NOT NULL,
    at           bigint NOT NULL,
    tags         jsonb  NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (at);
CREATE TABLE metric_default PARTITION OF metric DEFAULT;
CREATE INDEX metric_execution ON metric (execution_id, at);

CREATE TABLE kv (
    tenant      text   NOT NULL,
    namespace   text   NOT NULL,
    key         text   NOT NULL,
    type        text   NOT NULL,
    value       text   NOT NULL,
    description text,
    created     bigint NOT NULL,
    updated     bigint NOT NULL,
    expires     bigint,
    PRIMARY KEY (tenant, namespace, key)
);
CREATE INDEX kv_expiry ON kv (expires) WHERE expires IS NOT NULL;
