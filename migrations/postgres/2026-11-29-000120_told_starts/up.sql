-- Who of several processes tells a hub how a start is going: `beat` grows as long as it does. SQLite has one process.
CREATE TABLE told_starts (
    sequence BIGINT NOT NULL PRIMARY KEY REFERENCES services (sequence) ON DELETE CASCADE,
    teller TEXT NOT NULL,
    beat BIGINT NOT NULL
);
