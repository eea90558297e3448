INSERT INTO trigger_flow AS t (tenant, namespace, flow_id, revision, format, error)
SELECT f.tenant, f.namespace, f.flow_id, f.revision, $6, f.error
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) AS f(tenant, namespace, flow_id, revision, error)
ON CONFLICT (tenant, namespace, flow_id) DO UPDATE
SET revision = excluded.revision, format = excluded.format, error = excluded.error
