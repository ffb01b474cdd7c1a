DROP TABLE restart_notices;
