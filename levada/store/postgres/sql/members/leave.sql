WITH gone AS (DELETE FROM member WHERE service = $1 AND name = $2)
UPDATE bus_owner SET owner = NULL, freed = clock_timestamp() WHERE owner = $2
