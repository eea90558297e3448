-- Costs what executions are live, and what counts of live ones there are; both are found by partial indexes.
WITH live AS (
    SELECT tenant, created - created % 60000000 AS at, state, count(*) AS n
    FROM execution
    WHERE ended IS NULL AND NOT deleted AND coalesce(kind, 'NORMAL') = 'NORMAL'
    GROUP BY 1, 2, 3
), counted AS (
    SELECT tenant, at, state, sum(n)::bigint AS n FROM execution_count_minute WHERE ended = 0 GROUP BY 1, 2, 3
)
INSERT INTO execution_count_mark (tenant, at)
SELECT DISTINCT tenant, at
FROM live l FULL JOIN counted c USING (tenant, at, state)
WHERE l.n IS DISTINCT FROM c.n
ORDER BY 1, 2
ON CONFLICT DO NOTHING
