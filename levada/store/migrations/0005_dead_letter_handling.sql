-- What became of a dead letter, and who decided it. `replayed` exists already.
ALTER TABLE dead_letter ADD COLUMN dropped bigint;
ALTER TABLE dead_letter ADD COLUMN handled_by text;
CREATE INDEX dead_letter_open ON dead_letter (id) WHERE replayed IS NULL AND dropped IS NULL;
CREATE INDEX dead_letter_key ON dead_letter (key);
