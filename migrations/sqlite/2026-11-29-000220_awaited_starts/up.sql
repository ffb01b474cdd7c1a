-- Starts whose hubs wait for the answer until the server is up: a process that dies meanwhile leaves them without anybody who knows.
CREATE TABLE awaited_starts (
    sequence INTEGER NOT NULL PRIMARY KEY REFERENCES services (sequence) ON DELETE CASCADE
);
