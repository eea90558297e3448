INSERT INTO concurrency_slot AS s (flow_key, execution_id, holds, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::bool[], $4::bigint[])
ON CONFLICT (flow_key, execution_id) DO UPDATE SET holds = s.holds OR excluded.holds
