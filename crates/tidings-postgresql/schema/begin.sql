-- The schema of the cluster {name} for Tidings, version {version}. It may be run again at any time.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s';
SELECT pg_advisory_xact_lock(hashtext('tidings schema'), hashtext({name}));

DO $$
DECLARE
  found integer;
BEGIN
  IF to_regnamespace({schema_text}) IS NULL THEN
    CREATE SCHEMA {schema};
  END IF;
  IF to_regclass({schema_text} || '.schema_version') IS NULL THEN
    CREATE TABLE {schema}.schema_version (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      version integer NOT NULL
    );
  END IF;
  SELECT v.version INTO found FROM {schema}.schema_version v;
  IF found > {version} THEN
    RAISE EXCEPTION 'the schema % has version %, and this program makes version {version}', {name}, found
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use the program of the newest hub.';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.version() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
  'SELECT v.version FROM {schema}.schema_version v';
