-- Starts whose hubs wait for the answer until the server is up: a process that dies meanwhile leaves them without anybody who knows.
CREATE TABLE awaited_starts (
    sequence BIGINT NOT NULL PRIMARY KEY REFERENCES services (sequence) ON DELETE CASCADE
);
