-- 0004_audit_and_counts: filled in by its part.
SELECT 1;
