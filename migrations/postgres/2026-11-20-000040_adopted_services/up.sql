-- Taken over from the reference implementation: pod templates do not carry our labels.
ALTER TABLE services ADD COLUMN is_adopted BOOLEAN NOT NULL DEFAULT FALSE;

-- Forwards that users asked for; `ports` is JSON, from the port wanted to the port there.
CREATE TABLE user_jobs (
    sequence BIGSERIAL PRIMARY KEY,
    credential TEXT NOT NULL,
    service TEXT NOT NULL,
    hostname TEXT NOT NULL,
    target_node TEXT NOT NULL,
    ports TEXT NOT NULL,
    UNIQUE (credential, service)
);
