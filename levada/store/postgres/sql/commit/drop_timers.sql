DELETE FROM timer t
USING unnest($1::text[], $2::int[], $3::text[]) AS d (execution_id, seq, kind)
WHERE EXISTS (SELECT FROM gate) AND t.execution_id = d.execution_id AND t.seq = d.seq AND t.kind = d.kind
