SELECT topic, part, done_off FROM bus_owner
