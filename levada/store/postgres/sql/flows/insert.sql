INSERT INTO flow (namespace, id, revision, source, updated, tenant, disabled, deleted, draft, labels, description)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11)
