INSERT INTO bus_owner (topic, part)
SELECT $1, part FROM generate_series(0, $2::int - 1) AS part
ON CONFLICT DO NOTHING
