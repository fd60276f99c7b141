-- What a job has to know that nobody may read, sealed for the job. It goes when the job ends; before, it was in the payload,
-- where a new data key did not find it, and for as long as the row was kept.
ALTER TABLE jobs ADD COLUMN secret BLOB;
UPDATE jobs SET payload = '{}';
