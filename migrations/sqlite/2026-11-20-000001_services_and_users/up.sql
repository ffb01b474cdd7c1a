-- Times are microseconds since 1970 (UTC), so that both databases keep the same digits.

CREATE TABLE installation (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    id TEXT NOT NULL
);

CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT,
    is_superuser BOOLEAN NOT NULL,
    is_active BOOLEAN NOT NULL,
    access_to_webservice BOOLEAN NOT NULL,
    access_to_logging BOOLEAN NOT NULL
);

CREATE TABLE tokens (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_name, label)
);

-- AUTOINCREMENT: a sequence is never used twice, also when the newest service was removed.
CREATE TABLE services (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    credential TEXT NOT NULL,
    server_name TEXT NOT NULL,
    start_id TEXT NOT NULL,
    object_id TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    user_options TEXT NOT NULL,
    jhub_user_id BIGINT NOT NULL,
    start_date BIGINT NOT NULL,
    namespace TEXT NOT NULL,
    state TEXT NOT NULL,
    objects TEXT NOT NULL,
    update_manifest TEXT,
    details TEXT,
    ended_at BIGINT,
    UNIQUE (credential, server_name, start_id)
);

-- A poll asks for the newest start of a name.
CREATE INDEX services_newest ON services (credential, server_name, sequence);
CREATE INDEX services_state ON services (state);
