-- The update changes nothing; it makes the row of whoever came first come back, also when it was committed just now.
INSERT INTO webhook_delivery AS d (tenant, namespace, flow_id, key, execution_id, at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, namespace, flow_id, key) DO UPDATE SET execution_id = d.execution_id
RETURNING execution_id, at, sent
