DELETE FROM trigger_fire
WHERE (uid, slot) IN (SELECT uid, slot FROM trigger_fire WHERE at < $1 AND sent ORDER BY at LIMIT $2)
