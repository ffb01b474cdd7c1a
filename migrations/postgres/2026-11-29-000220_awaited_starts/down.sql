DROP TABLE awaited_starts;
