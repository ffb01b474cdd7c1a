DROP TRIGGER k8smgr_changes ON log_handlers;
DROP TRIGGER k8smgr_changes ON tokens;
DROP TRIGGER k8smgr_changes ON users;
DROP TRIGGER k8smgr_truncated ON services;
DROP TRIGGER k8smgr_changes ON services;
DROP FUNCTION k8smgr_table_changed();
DROP FUNCTION k8smgr_service_changed();
