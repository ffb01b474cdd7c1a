-- Taken over from the reference implementation: pod templates do not carry our labels.
ALTER TABLE services ADD COLUMN is_adopted BOOLEAN NOT NULL DEFAULT 0;

-- Forwards that users asked for; `ports` is JSON, from the port wanted to the port there.
CREATE TABLE user_jobs (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    credential TEXT NOT NULL,
    service TEXT NOT NULL,
    hostname TEXT NOT NULL,
    target_node TEXT NOT NULL,
    ports TEXT NOT NULL,
    UNIQUE (credential, service)
);
