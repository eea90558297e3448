-- Per partition up to $4 records of together about $5 bytes, at least one. `there` is how many it would be without the bytes.
SELECT r.part, r.off, r.key, r.id, r.body, r.at, r.headers, r.there
FROM unnest($2::int[], $3::bigint[]) AS wanted (part, position)
CROSS JOIN LATERAL (
    SELECT f.*, count(*) OVER () AS there,
           sum(octet_length(f.body)) OVER (ORDER BY f.off) - octet_length(f.body) AS size_before
    FROM (
        SELECT l.part, l.off, l.key, l.id, l.body, l.at, l.headers
        FROM bus_log l
        WHERE l.topic = $1 AND l.part = wanted.part AND l.off >= wanted.position
        ORDER BY l.off
        LIMIT $4
    ) AS f
) AS r
WHERE r.size_before < $5
