SELECT count(*) FILTER (WHERE active AND NOT disabled) AS running, count(*) FILTER (WHERE error IS NOT NULL) AS broken
FROM trigger_state
