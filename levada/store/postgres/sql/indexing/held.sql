SELECT o.part, w.position
FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS w (part, epoch, position)
JOIN bus_owner o ON o.topic = $1 AND o.part = w.part AND o.epoch = w.epoch
ORDER BY o.part
FOR NO KEY UPDATE OF o
