-- A revision that can not be read fires nothing; its schedules say why.
UPDATE trigger_state AS t
SET next_slot = NULL, error = f.error, revision = f.revision, updated = $6
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) AS f(tenant, namespace, flow_id, revision, error)
WHERE (t.tenant, t.namespace, t.flow_id) = (f.tenant, f.namespace, f.flow_id)
