-- $1 now, $2 since when what is due may still be somebody else's.
SELECT
    (SELECT min(next_slot) FROM trigger_state WHERE next_slot > $1) AS following,
    (SELECT min(next_slot) FROM trigger_state WHERE next_slot <= $1 AND next_slot > $2) AS young,
    (SELECT max(last_fired) FROM trigger_state WHERE next_slot <= $1) AS fired
