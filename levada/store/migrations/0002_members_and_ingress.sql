-- Several processes of each service: who is there, who owns what, and what was accepted but not applied yet.

-- A process that serves. Leases run on the database's clock, so the clocks of the hosts do not matter.
CREATE TABLE member (
    service     text        NOT NULL,
    name        text        NOT NULL,
    started     timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    info        text        NOT NULL DEFAULT '{}',
    PRIMARY KEY (service, name)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Which installation this database is the truth of: messages of others on the same topics are not for us.
CREATE TABLE installation (
    only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
    id       text NOT NULL
);

-- Commands that were acknowledged to whoever sent them. The bus delivers them; the commit that applies one removes it here.
-- Only used where the bus is not in this database.
CREATE TABLE ingress (
    id   text   PRIMARY KEY,
    part int    NOT NULL,  -- of the topic `commands`
    at   bigint NOT NULL,
    key  text   NOT NULL,
    body bytea  NOT NULL,
    n    bigint GENERATED ALWAYS AS IDENTITY  -- the order of acceptance
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX ingress_age ON ingress (part, at);

-- The partition of the commands topic that a timer's execution belongs to; NULL: armed by an older version.
ALTER TABLE timer ADD COLUMN part int;

-- Trace context and the like, as a JSON object of texts.
ALTER TABLE bus_log ADD COLUMN headers text;
