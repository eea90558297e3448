INSERT INTO concurrency_flow (flow_key)
SELECT key FROM unnest($1::text[]) AS key ORDER BY key
ON CONFLICT DO NOTHING
