ALTER TABLE user_jobs DROP COLUMN problem;
ALTER TABLE user_jobs DROP COLUMN service_uid;
ALTER TABLE user_jobs DROP COLUMN token;
ALTER TABLE user_jobs DROP COLUMN owner;
ALTER TABLE user_jobs DROP COLUMN state;
