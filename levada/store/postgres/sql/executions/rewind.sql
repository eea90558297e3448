UPDATE bus_owner SET done_off = $3 WHERE topic = 'commands' AND part = $1 AND epoch = $2 RETURNING part
