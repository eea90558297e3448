DELETE FROM webhook_delivery
WHERE (tenant, namespace, flow_id, key) IN (
    SELECT tenant, namespace, flow_id, key FROM webhook_delivery WHERE at < $1 ORDER BY at LIMIT $2
)
