SELECT id, part, at, key, body FROM ingress WHERE part = ANY ($1::int[]) AND at < $2 ORDER BY at LIMIT $3
