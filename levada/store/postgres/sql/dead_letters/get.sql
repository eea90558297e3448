SELECT id, topic, part, off, key, reason, detail, body, at, replayed, dropped, handled_by FROM dead_letter WHERE id = $1
