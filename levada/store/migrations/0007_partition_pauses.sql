-- When a partition was given back: how long it is without an owner is what people notice of a rebalance.
ALTER TABLE bus_owner ADD COLUMN freed timestamptz;
