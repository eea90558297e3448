WITH wanted AS (
    INSERT INTO bus_owner (topic, part)
    SELECT 'commands', part FROM unnest($1::int[]) AS part
    ON CONFLICT DO NOTHING
    RETURNING part
)
SELECT count(*) FROM wanted
