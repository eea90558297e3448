INSERT INTO execution_count_mark (tenant, at)
SELECT DISTINCT x.tenant, x.created - x.created % 60000000
FROM execution x
WHERE x.id = ANY ($1::text[])
ORDER BY 1, 2
ON CONFLICT DO NOTHING
