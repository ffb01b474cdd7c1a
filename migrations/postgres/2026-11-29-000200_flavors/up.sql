-- What a service counts as, and when it is stopped by us.
ALTER TABLE services ADD COLUMN flavor TEXT;
ALTER TABLE services ADD COLUMN ends_at BIGINT;

-- Starts of a flavor are counted, by hub and by user.
CREATE INDEX services_flavor ON services (credential, flavor, jhub_user_id);
