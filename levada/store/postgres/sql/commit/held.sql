SELECT o.part, w.done_off, w.relay_off, w.out_next, o.out_next AS out_before
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
     AS w (part, epoch, done_off, relay_off, out_next)
JOIN bus_owner o ON o.topic = 'commands' AND o.part = w.part AND o.epoch = w.epoch
ORDER BY o.part
FOR NO KEY UPDATE OF o
