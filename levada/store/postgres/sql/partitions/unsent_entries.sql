SELECT EXISTS (
    SELECT FROM {} b
    JOIN bus_owner o ON o.topic = 'commands' AND o.part = b.part
    WHERE b.off >= o.relay_off
)
