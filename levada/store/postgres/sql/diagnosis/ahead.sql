-- How many attempts of the queue would be handed out before one that was submitted then.
SELECT count(*) FROM (
    SELECT FROM task_run WHERE lease = 'submitted' AND queue = $1 AND submitted < $2 LIMIT 10000
) AS ahead
