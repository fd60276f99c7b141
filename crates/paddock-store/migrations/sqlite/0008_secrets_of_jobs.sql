-- What a job has to know that nobody may read, sealed for the job. It goes when the job ends; before, it was in the payload,
-- where a new data key did not find it, and for as long as the row was kept. What waits for its build while this is
-- done fails, and says so.
ALTER TABLE jobs ADD COLUMN secret BLOB;
UPDATE jobs SET payload = '{}' WHERE state IN ('succeeded', 'failed');
