-- The order of the list is the order in which handlers were added.
CREATE TABLE log_handlers (
    sequence BIGSERIAL PRIMARY KEY,
    handler TEXT NOT NULL UNIQUE,
    configuration TEXT NOT NULL
);

-- What is deleted stays deleted: the default is written down once, here.
INSERT INTO log_handlers (handler, configuration)
VALUES ('stream', '{"level":10,"formatter":"simple","stream":"ext://sys.stdout"}');
