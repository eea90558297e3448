INSERT INTO dead_letter (topic, part, off, key, reason, detail, body, at)
SELECT * FROM unnest(
    $1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[]
)
WHERE EXISTS (SELECT FROM gate)
