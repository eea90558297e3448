INSERT INTO execution_event (execution_id, seq, at, events)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[])
WHERE EXISTS (SELECT FROM gate)
