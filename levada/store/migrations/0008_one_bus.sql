-- Over which bus the processes of this database talk, and until when that is so: its positions are in `bus_owner`, and
-- executors that read another log by them would leave commands out. NULL: nobody has said so yet.
ALTER TABLE installation ADD COLUMN bus text;
ALTER TABLE installation ADD COLUMN bus_until timestamptz;
