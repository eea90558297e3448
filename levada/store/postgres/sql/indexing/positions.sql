SELECT part, done_off FROM bus_owner WHERE topic = $1
