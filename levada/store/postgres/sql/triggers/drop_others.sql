-- Remove the schedules of these flows, but for those listed.
DELETE FROM trigger_state AS t
USING unnest($1::text[], $2::text[], $3::text[]) AS f(tenant, namespace, flow_id)
WHERE (t.tenant, t.namespace, t.flow_id) = (f.tenant, f.namespace, f.flow_id) AND t.uid <> ALL ($4::text[])
