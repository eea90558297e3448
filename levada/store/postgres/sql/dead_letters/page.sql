SELECT id, topic, part, off, key, reason, detail, body, at, replayed, dropped, handled_by
FROM dead_letter
WHERE ($1::text IS NULL OR topic = $1)
  AND ($2::text IS NULL OR key = $2)
  AND ($3::bool OR (replayed IS NULL AND dropped IS NULL))
ORDER BY id DESC
LIMIT $4 OFFSET $5
