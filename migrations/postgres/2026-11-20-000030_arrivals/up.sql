-- Starts that are not written down yet, of all processes: a stop that comes meanwhile must not miss them.
-- SQLite has one process, which keeps them in memory.
CREATE TABLE arrivals (
    id BIGSERIAL PRIMARY KEY,
    credential TEXT NOT NULL,
    server_name TEXT NOT NULL,
    is_stopped BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE INDEX arrivals_name ON arrivals (credential, server_name);
