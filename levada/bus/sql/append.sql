-- Heads are locked in one order and last in their transaction: appends of two processes can not deadlock, and the order
-- of commits is the order of offsets.
WITH locked AS (
    SELECT h.topic, h.part, c.n
    FROM unnest($1::text[], $2::int[], $3::int[]) AS c (topic, part, n)
    JOIN bus_head h ON h.topic = c.topic AND h.part = c.part
    ORDER BY h.topic, h.part
    FOR NO KEY UPDATE OF h
), heads AS (
    UPDATE bus_head h SET next_off = h.next_off + l.n
    FROM locked l
    WHERE h.topic = l.topic AND h.part = l.part
    RETURNING h.topic, h.part, h.next_off - l.n AS first
), written AS (
    INSERT INTO bus_log (topic, part, off, at, key, id, body, headers)
    SELECT h.topic, h.part, h.first + r.ordinal, $9, r.key, r.id, r.body, r.headers
    FROM unnest($4::int[], $5::int[], $6::text[], $7::text[], $8::bytea[], $10::text[])
        AS r (head, ordinal, key, id, body, headers)
    JOIN heads h ON h.topic = ($1::text[])[r.head] AND h.part = ($2::int[])[r.head]
)
SELECT topic, part, first FROM heads
