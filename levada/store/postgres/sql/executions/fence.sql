-- One row per partition that is still ours; fewer than asked for means fenced. Locking comes before everything else, in
-- one order, so a successor waits for this transaction and then reads the positions it wrote.
WITH held AS (
    SELECT o.part, w.done_off, w.relay_off, w.out_next, o.out_next AS out_before
    FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
         AS w (part, epoch, done_off, relay_off, out_next)
    JOIN bus_owner o ON o.topic = 'commands' AND o.part = w.part AND o.epoch = w.epoch
    ORDER BY o.part
    FOR NO KEY UPDATE OF o
), moved AS (
    UPDATE bus_owner o
    SET done_off = coalesce(h.done_off, o.done_off),
        relay_off = greatest(h.relay_off, o.relay_off),
        out_next = coalesce(h.out_next, o.out_next)
    FROM held h
    WHERE o.topic = 'commands' AND o.part = h.part
      AND (h.done_off <> o.done_off OR h.relay_off > o.relay_off OR h.out_next <> o.out_next)
)
SELECT part, coalesce(out_next, out_before) FROM held
