UPDATE bus_owner SET owner = NULL, freed = clock_timestamp() WHERE topic = $1 AND owner = $2 AND part = ANY ($3::int[])
