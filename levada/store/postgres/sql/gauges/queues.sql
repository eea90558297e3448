-- Every route that has something waiting, how much (up to a limit) and since when: one look into the index for each.
WITH RECURSIVE route (queue) AS (
    (SELECT queue FROM task_run WHERE lease = 'submitted' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM task_run t WHERE t.lease = 'submitted' AND t.queue > r.queue ORDER BY t.queue LIMIT 1)
    FROM route r
    WHERE r.queue IS NOT NULL
)
SELECT r.queue, w.depth, w.oldest
FROM route r
CROSS JOIN LATERAL (
    SELECT count(*) AS depth, min(s.submitted) AS oldest
    FROM (SELECT t.submitted FROM task_run t WHERE t.lease = 'submitted' AND t.queue = r.queue LIMIT $1) AS s
) AS w
WHERE r.queue IS NOT NULL AND w.depth > 0
