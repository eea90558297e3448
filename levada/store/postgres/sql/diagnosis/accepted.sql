SELECT id, part, at FROM ingress WHERE key = $1 ORDER BY at LIMIT 20
