DROP TABLE user_jobs;
ALTER TABLE services DROP COLUMN is_adopted;
