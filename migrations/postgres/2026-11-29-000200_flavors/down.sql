DROP INDEX services_flavor;
ALTER TABLE services DROP COLUMN ends_at;
ALTER TABLE services DROP COLUMN flavor;
