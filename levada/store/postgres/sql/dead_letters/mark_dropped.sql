UPDATE dead_letter SET dropped = $2, handled_by = $3
WHERE id = $1 AND replayed IS NULL AND dropped IS NULL
RETURNING id
