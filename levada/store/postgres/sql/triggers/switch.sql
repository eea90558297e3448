-- $2 on or off, $3 now. What is on already stays as it is.
UPDATE trigger_state
SET disabled = NOT $2,
    next_slot = CASE WHEN NOT $2 OR NOT active THEN NULL WHEN disabled THEN $3 ELSE next_slot END,
    probe = probe OR disabled OR NOT $2,
    enabled_at = CASE WHEN disabled AND $2 THEN $3 ELSE enabled_at END,
    note = CASE WHEN disabled AND $2 THEN NULL ELSE note END,
    updated = $3
WHERE uid = $1
