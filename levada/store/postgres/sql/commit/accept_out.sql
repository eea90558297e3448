INSERT INTO ingress (id, part, at, key, body)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::bytea[])
WHERE EXISTS (SELECT FROM gate)
