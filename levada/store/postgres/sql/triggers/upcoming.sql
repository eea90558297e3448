SELECT min(next_slot) FROM trigger_state WHERE next_slot > $1
