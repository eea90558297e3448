WITH gone AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS g(tenant, namespace, flow_id)
), states AS (
    DELETE FROM trigger_state AS t USING gone AS g
    WHERE (t.tenant, t.namespace, t.flow_id) = (g.tenant, g.namespace, g.flow_id)
)
DELETE FROM trigger_flow AS t USING gone AS g
WHERE (t.tenant, t.namespace, t.flow_id) = (g.tenant, g.namespace, g.flow_id)
