SELECT count(*) FROM bus_head WHERE topic = $1
