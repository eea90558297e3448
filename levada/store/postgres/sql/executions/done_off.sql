SELECT done_off FROM bus_owner WHERE topic = 'commands' AND part = $1
