INSERT INTO out_log (part, off, at, body)
SELECT part, off, $4, body FROM unnest($1::int[], $2::bigint[], $3::text[]) AS o (part, off, body)
