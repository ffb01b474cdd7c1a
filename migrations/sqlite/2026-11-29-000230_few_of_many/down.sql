DROP INDEX services_with_end;
DROP INDEX services_adopted;
