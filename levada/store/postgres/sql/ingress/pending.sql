SELECT id FROM ingress WHERE id = ANY ($1::text[])
