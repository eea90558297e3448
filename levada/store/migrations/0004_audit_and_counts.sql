-- Who changed what, and how many executions there were: what people look at long after the executions are gone.

-- Append-only: nothing updates it, retention drops whole days.
CREATE TABLE audit_log (
    id         text     NOT NULL,
    at         bigint   NOT NULL,
    tenant     text     NOT NULL,
    who        text     NOT NULL,
    action     text     NOT NULL,
    kind       text     NOT NULL,
    object     text,
    namespace  text,
    outcome    text     NOT NULL,
    status     int      NOT NULL,
    details    text     NOT NULL,
    request_id text,
    remote     text
) PARTITION BY RANGE (at);
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;
CREATE INDEX audit_log_at ON audit_log (tenant, at DESC);
CREATE INDEX audit_log_object ON audit_log (tenant, kind, object, at DESC) WHERE object IS NOT NULL;

-- Executions by the minute of their creation (its begin, epoch microseconds), recomputed from `execution` when marked.
-- `ended` of the `n` have ended; `duration` is the sum over those, in microseconds, like `shortest` and `longest`.
CREATE TABLE execution_count_minute (
    tenant    text   NOT NULL,
    at        bigint NOT NULL,
    namespace text   NOT NULL,
    flow_id   text   NOT NULL,
    state     text   NOT NULL,
    n         bigint NOT NULL,
    ended     bigint NOT NULL,
    duration  bigint NOT NULL,
    shortest  bigint,
    longest   bigint,
    PRIMARY KEY (tenant, at, namespace, flow_id, state)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX execution_count_minute_flow ON execution_count_minute (tenant, namespace, flow_id, at);
CREATE INDEX execution_count_minute_live ON execution_count_minute (tenant, at) WHERE ended = 0;

-- The same by the hour, summed from the minutes.
CREATE TABLE execution_count_hour (
    tenant    text   NOT NULL,
    at        bigint NOT NULL,
    namespace text   NOT NULL,
    flow_id   text   NOT NULL,
    state     text   NOT NULL,
    n         bigint NOT NULL,
    ended     bigint NOT NULL,
    duration  bigint NOT NULL,
    shortest  bigint,
    longest   bigint,
    PRIMARY KEY (tenant, at, namespace, flow_id, state)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX execution_count_hour_flow ON execution_count_hour (tenant, namespace, flow_id, at);

-- Minutes whose counts may be wrong: something created in them has changed.
CREATE TABLE execution_count_mark (
    tenant text   NOT NULL,
    at     bigint NOT NULL,
    PRIMARY KEY (tenant, at)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
