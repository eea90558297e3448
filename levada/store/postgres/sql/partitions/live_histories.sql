SELECT EXISTS (
    SELECT FROM execution x
    JOIN {} e ON e.execution_id = x.id
    WHERE x.ended IS NULL
)
