SELECT r.part, r.off, r.key, r.id, r.body, r.at, r.headers
FROM unnest($2::int[], $3::bigint[]) AS wanted (part, position)
CROSS JOIN LATERAL (
    SELECT l.part, l.off, l.key, l.id, l.body, l.at, l.headers
    FROM bus_log l
    WHERE l.topic = $1 AND l.part = wanted.part AND l.off >= wanted.position
    ORDER BY l.off
    LIMIT $4
) AS r
