UPDATE dead_letter SET replayed = NULL, handled_by = NULL WHERE id = $1
