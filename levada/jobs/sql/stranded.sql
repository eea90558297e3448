-- Waiting attempts of a route that say what is to be done when nobody serves it. Few routes are ever asked for, and seldom, so
-- what they say is looked for in their jobs.
SELECT job
FROM task_run
WHERE lease = 'submitted' AND queue = $1 AND submitted < $2 AND strpos(job, '"if_no_worker":') > 0
ORDER BY priority DESC, submitted
LIMIT $3
