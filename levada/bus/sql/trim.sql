-- Space comes back when whole time partitions are dropped; until then this is what may go.
UPDATE bus_head h SET trimmed = greatest(h.trimmed, t.position)
FROM unnest($2::int[], $3::bigint[]) AS t (part, position)
WHERE h.topic = $1 AND h.part = t.part
