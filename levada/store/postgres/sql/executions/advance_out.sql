UPDATE bus_owner SET out_next = out_next + $2 WHERE topic = 'commands' AND part = $1
