INSERT INTO execution_count_mark (tenant, at)
SELECT DISTINCT x.tenant, x.created - x.created % 60000000
FROM (SELECT DISTINCT tenant FROM flow) t
CROSS JOIN LATERAL (
    SELECT tenant, created FROM execution
    WHERE tenant = t.tenant
      AND created >= greatest($1, (SELECT max(at) FROM execution_count_minute c WHERE c.tenant = t.tenant))
) x
ORDER BY 1, 2
ON CONFLICT DO NOTHING
