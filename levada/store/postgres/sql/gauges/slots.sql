SELECT count(*) FILTER (WHERE holds), count(*) FILTER (WHERE NOT holds)
FROM (SELECT holds FROM concurrency_slot LIMIT $1) AS slots
