DELETE FROM concurrency_slot s
USING unnest($1::text[], $2::text[]) AS r (flow_key, execution_id)
WHERE s.flow_key = r.flow_key AND s.execution_id = r.execution_id
