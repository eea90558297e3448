-- All or none: a topic keeps the number of partitions that it was made with.
INSERT INTO bus_head (topic, part)
SELECT $1, part FROM generate_series(0, $2::int - 1) AS part
WHERE NOT EXISTS (SELECT FROM bus_head WHERE topic = $1)
ON CONFLICT DO NOTHING
