DROP TABLE log_handlers;
