-- Every route that has something waiting: one look into the index for each, not one for each attempt.
WITH RECURSIVE route (queue) AS (
    (SELECT queue FROM task_run WHERE lease = 'submitted' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM task_run t WHERE t.lease = 'submitted' AND t.queue > r.queue ORDER BY t.queue LIMIT 1)
    FROM route r
    WHERE r.queue IS NOT NULL
)
SELECT queue FROM route WHERE queue IS NOT NULL
