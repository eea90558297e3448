-- The pause of a partition began when it was given back, or when the lease of its owner ran out.
-- A row that a commit has locked is passed over: the next round finds it, and the commit it belongs to is not waited for.
-- No join with member: a row that another one took since our snapshot is looked at again, but what it was joined with is not.
WITH free AS (
    SELECT o.topic, o.part, CASE
        WHEN o.owner IS NULL THEN o.freed
        ELSE (SELECT m.lease_until FROM member m WHERE m.service = $1 AND m.name = o.owner)
    END AS since
    FROM bus_owner o
    WHERE o.topic = $2
      AND NOT EXISTS (
          SELECT FROM member m WHERE m.service = $1 AND m.name = o.owner AND m.lease_until > clock_timestamp()
      )
    ORDER BY o.part
    LIMIT $4
    FOR NO KEY UPDATE OF o SKIP LOCKED
)
UPDATE bus_owner o
SET epoch = o.epoch + 1, owner = $3
FROM free
WHERE o.topic = free.topic AND o.part = free.part
RETURNING o.part, o.epoch, o.done_off, o.out_next, o.relay_off,
          (extract(epoch FROM clock_timestamp() - free.since) * 1000000)::int8
