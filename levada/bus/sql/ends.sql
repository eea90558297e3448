SELECT part, next_off FROM bus_head WHERE topic = $1
