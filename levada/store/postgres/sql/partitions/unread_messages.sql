SELECT EXISTS (
    SELECT FROM {} b
    LEFT JOIN bus_owner o ON o.topic = b.topic AND o.part = b.part
    WHERE b.topic IN ('commands', 'logs', 'metrics', 'audit') AND b.off >= coalesce(o.done_off, 0)
)
