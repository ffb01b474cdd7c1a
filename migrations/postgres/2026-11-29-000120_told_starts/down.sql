DROP TABLE told_starts;
