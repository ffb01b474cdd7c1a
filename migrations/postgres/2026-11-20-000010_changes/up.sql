-- Every process learns of every change when it is committed: `s` and the sequence of a service, `u` for users and their
-- tokens, `l` for log handlers, `e` for everything.

CREATE FUNCTION k8smgr_service_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('k8smgr_changes', 's' || COALESCE(NEW.sequence, OLD.sequence));
    RETURN NULL;
END
$$;

CREATE FUNCTION k8smgr_table_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('k8smgr_changes', TG_ARGV[0]);
    RETURN NULL;
END
$$;

CREATE TRIGGER k8smgr_changes AFTER INSERT OR UPDATE OR DELETE ON services
    FOR EACH ROW EXECUTE FUNCTION k8smgr_service_changed();
CREATE TRIGGER k8smgr_truncated AFTER TRUNCATE ON services
    FOR EACH STATEMENT EXECUTE FUNCTION k8smgr_table_changed('e');
CREATE TRIGGER k8smgr_changes AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION k8smgr_table_changed('u');
CREATE TRIGGER k8smgr_changes AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tokens
    FOR EACH STATEMENT EXECUTE FUNCTION k8smgr_table_changed('u');
CREATE TRIGGER k8smgr_changes AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON log_handlers
    FOR EACH STATEMENT EXECUTE FUNCTION k8smgr_table_changed('l');
