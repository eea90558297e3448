-- $2: on or off, $3: now. What is on already stays as it is.
UPDATE trigger_state
SET disabled = NOT $2::bool,
    next_slot = CASE WHEN NOT $2::bool OR NOT active THEN NULL WHEN disabled THEN $3::bigint ELSE next_slot END,
    probe = probe OR disabled OR NOT $2::bool,
    enabled_at = CASE WHEN disabled AND $2::bool THEN $3::bigint ELSE enabled_at END,
    note = CASE WHEN disabled AND $2::bool THEN NULL ELSE note END,
    updated = $3::bigint
WHERE uid = $1
