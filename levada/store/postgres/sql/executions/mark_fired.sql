UPDATE timer t
SET fired = true
FROM unnest($1::text[], $2::int[], $3::text[]) AS f (execution_id, seq, kind)
WHERE t.execution_id = f.execution_id AND t.seq = f.seq AND t.kind = f.kind
