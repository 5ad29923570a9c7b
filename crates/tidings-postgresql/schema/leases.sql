-- Who is alive, who stands in for whom, and who does what one of the cluster does; by the server's clock.

DO $$
BEGIN
  IF to_regclass({schema_text} || '.lease') IS NULL THEN
    -- A crash empties it, and the hubs renew.
    CREATE UNLOGGED TABLE {schema}.lease (
      holder text PRIMARY KEY,
      until_ms bigint NOT NULL,
      record bytea NOT NULL
    ) WITH (fillfactor = 50);
    -- Who claimed a node: one that was only paused learns of it by this.
    CREATE TABLE {schema}.claim (
      holder text PRIMARY KEY,
      by_holder text NOT NULL,
      until_ms bigint NOT NULL
    );
    CREATE TABLE {schema}.named_lease (
      name text PRIMARY KEY,
      holder text NOT NULL,
      until_ms bigint NOT NULL,
      note bytea
    ) WITH (fillfactor = 50);
  END IF;
END $$;

-- Renews the lease of a node. Without a record the earlier one stays. Returns who claimed the node, if
-- somebody did.
CREATE OR REPLACE FUNCTION {schema}.renew(p_holder text, p_ttl_ms bigint, p_record bytea, OUT by_holder text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM {schema}.check_isolation();
  SELECT c.by_holder INTO by_holder FROM {schema}.claim c WHERE c.holder = p_holder;
  IF NOT FOUND THEN
    INSERT INTO {schema}.lease AS l (holder, until_ms, record)
      VALUES (p_holder, {schema}.now_ms() + p_ttl_ms, coalesce(p_record, ''))
      ON CONFLICT (holder) DO UPDATE SET until_ms = excluded.until_ms, record = coalesce(p_record, l.record);
  END IF;
END $$;

-- Takes or renews a lease with a name; gives it up with a p_ttl_ms of 0. Returns who holds it, the
-- caller also after giving it up, and what the last holder left that left anything.
CREATE OR REPLACE FUNCTION {schema}.hold(
  p_name text, p_holder text, p_ttl_ms bigint, p_note bytea, OUT holder text, OUT note bytea
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  now_ms bigint;
  old record;
  free boolean;
BEGIN
  PERFORM {schema}.check_isolation();
  IF p_ttl_ms > 0 THEN
    INSERT INTO {schema}.named_lease (name, holder, until_ms) VALUES (p_name, p_holder, 0) ON CONFLICT DO NOTHING;
  END IF;
  SELECT * INTO old FROM {schema}.named_lease n WHERE n.name = p_name FOR UPDATE;
  now_ms := {schema}.now_ms();
  free := old.until_ms IS NULL OR old.until_ms <= now_ms;
  note := old.note;
  IF NOT free AND old.holder <> p_holder THEN
    holder := old.holder;
    RETURN;
  END IF;
  holder := p_holder;
  IF free AND p_ttl_ms = 0 THEN
    RETURN;
  END IF;
  note := coalesce(p_note, note);
  UPDATE {schema}.named_lease n
    SET holder = p_holder, until_ms = CASE p_ttl_ms WHEN 0 THEN 0 ELSE now_ms + p_ttl_ms END, note = hold.note
    WHERE n.name = p_name;
END $$;

-- Returns who holds these names now.
CREATE OR REPLACE FUNCTION {schema}.holders(p_names text[]) RETURNS TABLE (name text, holder text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT n.name, n.holder FROM {schema}.named_lease n WHERE n.name = ANY (p_names) AND n.until_ms > {schema}.now_ms();
$$;

-- Returns the nodes that have a lease, also those whose lease has lapsed.
CREATE OR REPLACE FUNCTION {schema}.leases() RETURNS TABLE (holder text, alive boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.holder, l.until_ms > {schema}.now_ms() FROM {schema}.lease l;
$$;

-- Returns what a node leaves to whoever claims it.
CREATE OR REPLACE FUNCTION {schema}.record_of(p_holder text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.record FROM {schema}.lease l WHERE l.holder = p_holder;
$$;

-- Claims a node whose lease has lapsed. 'won' with its record, 'alive' or 'gone'.
CREATE OR REPLACE FUNCTION {schema}.claim(
  p_dead text, p_by text, p_trace_ms bigint, OUT answer text, OUT record bytea
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  now_ms CONSTANT bigint := {schema}.now_ms();
BEGIN
  PERFORM {schema}.check_isolation();
  DELETE FROM {schema}.lease l WHERE l.holder = p_dead AND l.until_ms <= now_ms RETURNING l.record INTO record;
  IF FOUND THEN
    answer := 'won';
    INSERT INTO {schema}.claim AS c (holder, by_holder, until_ms) VALUES (p_dead, p_by, now_ms + p_trace_ms)
      ON CONFLICT (holder) DO UPDATE SET by_holder = excluded.by_holder, until_ms = excluded.until_ms;
    RETURN;
  END IF;
  PERFORM FROM {schema}.lease l WHERE l.holder = p_dead;
  answer := CASE WHEN FOUND THEN 'alive' ELSE 'gone' END;
END $$;

CREATE OR REPLACE FUNCTION {schema}.remove_claims() RETURNS void LANGUAGE sql VOLATILE AS
  'DELETE FROM {schema}.claim c WHERE c.until_ms <= {schema}.now_ms()';
