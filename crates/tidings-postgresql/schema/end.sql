-- Whoever may use the schema calls what it was granted, and touches no table.
REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;

INSERT INTO {schema}.schema_version AS v (version) VALUES ({version})
  ON CONFLICT (one) DO UPDATE SET version = excluded.version;
