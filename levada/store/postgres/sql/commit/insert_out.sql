INSERT INTO out_log (part, off, at, body)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[])
WHERE EXISTS (SELECT FROM gate)
