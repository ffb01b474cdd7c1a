-- Where a job stands; a job that was taken over from the reference implementation runs. `ports` is JSON, from the port
-- wanted to the port here (null while there is none) and the port there: {"8080": [34085, 59998]}.
ALTER TABLE user_jobs ADD COLUMN state TEXT NOT NULL DEFAULT 'running';
-- The service that asked for it (services.sequence), with which it ends.
ALTER TABLE user_jobs ADD COLUMN owner BIGINT;
-- Tells a job from an earlier one of the same name; empty for those that were taken over.
ALTER TABLE user_jobs ADD COLUMN token TEXT NOT NULL DEFAULT '';
-- The uid of its Kubernetes Service.
ALTER TABLE user_jobs ADD COLUMN service_uid TEXT;
-- Why it was refused or failed.
ALTER TABLE user_jobs ADD COLUMN problem TEXT;
