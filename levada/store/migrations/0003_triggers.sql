-- 0003_triggers: filled in by its part.
SELECT 1;
