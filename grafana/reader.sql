-- The account by which Grafana reads the case store: it may read what the account `fraud` makes, and do nothing else.
-- To be run in that database, as its owner, before `fraudstream cases` first is.
CREATE ROLE grafana LOGIN;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
ALTER DEFAULT PRIVILEGES FOR ROLE fraud GRANT SELECT ON TABLES TO grafana;
