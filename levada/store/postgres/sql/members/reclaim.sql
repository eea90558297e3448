WITH held AS (
    SELECT topic, part FROM bus_owner WHERE topic = $1 AND owner = $2 ORDER BY part FOR NO KEY UPDATE
)
UPDATE bus_owner o
SET epoch = o.epoch + 1
FROM held
WHERE o.topic = held.topic AND o.part = held.part
RETURNING o.part, o.epoch, o.done_off, o.out_next, o.relay_off
