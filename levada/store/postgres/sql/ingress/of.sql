SELECT id, part, at, key, body FROM ingress WHERE part = ANY ($1::int[]) AND key = ANY ($2::text[]) ORDER BY n
