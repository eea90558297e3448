UPDATE webhook_delivery SET sent = true
WHERE tenant = $1 AND namespace = $2 AND flow_id = $3 AND key = $4
