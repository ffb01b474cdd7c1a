DROP TABLE services;
DROP TABLE tokens;
DROP TABLE users;
DROP TABLE installation;
