UPDATE bus_owner SET owner = NULL WHERE topic = $1 AND owner = $2 AND part = ANY ($3::int[])
