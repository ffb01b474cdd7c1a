-- Hubs that are to be told that K8s Manager was started. `hub` is a hash of what config.json calls it; `owed` counts the
-- starts since it was last told, so that one more is not lost while it is being told.
CREATE TABLE restart_notices (
    hub TEXT NOT NULL PRIMARY KEY,
    owed BIGINT NOT NULL
);
