-- The schema of the cluster 'it' as c7b380d made it: version 1, whose inbox names rows by their ids.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s';
SELECT pg_advisory_xact_lock(hashtext('tidings schema'), hashtext('it'));

DO $$
DECLARE
  found integer;
BEGIN
  IF to_regnamespace('"it"') IS NULL THEN
    CREATE SCHEMA "it";
  END IF;
  IF to_regclass('"it"' || '.schema_version') IS NULL THEN
    CREATE TABLE "it".schema_version (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      version integer NOT NULL
    );
  END IF;
  SELECT v.version INTO found FROM "it".schema_version v;
  IF found > 1 THEN
    RAISE EXCEPTION 'the schema % has version %, and this program makes version 1', 'it', found
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use the program of the newest hub.';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION "it".version() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
  'SELECT v.version FROM "it".schema_version v';

-- The line of a cluster: its head, its log, and the functions of hubs that read and change them.
--
-- "it", '"it"' and 'it' stand for the schema: an identifier, that as a text, and its name.
-- The head's row is only locked: a new version for each append could not be removed while anybody's
-- transaction is open, and each append would read all of them.
-- The log is inherited by segments, in which its rows are. An append makes a segment without a lock
-- that anybody waits for, and the oldest one is dropped as a whole, when nobody reads it.

DO $$
BEGIN
  IF to_regclass('"it"' || '.head') IS NULL THEN
    CREATE TABLE "it".head (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      epoch text NOT NULL,
      secret bytea NOT NULL
    );
    -- Where each segment begins, and how the line stood before. Rows are never changed.
    CREATE TABLE "it".segment (
      number bigint PRIMARY KEY,
      first bigint NOT NULL,
      print_before bytea,
      published_ms_before bigint NOT NULL,
      stored_before bigint NOT NULL
    );
    CREATE TABLE "it".log (
      position bigint NOT NULL,
      published_ms bigint NOT NULL,
      -- All bytes of the line up to this entry, with 256 for each entry.
      stored bigint NOT NULL,
      print bytea NOT NULL,
      origin bytea NOT NULL,
      -- Of the first entry of a batch: who sent it under which number, and the answer if that is
      -- not one position after the other.
      sender bytea,
      places bigint[],
      bytes bytea NOT NULL
    );
    ALTER TABLE "it".log ALTER COLUMN bytes SET STORAGE EXTERNAL;
    -- The position of what came with an idempotency key first.
    CREATE TABLE "it".key (
      key bytea PRIMARY KEY,
      position bigint NOT NULL,
      until_ms bigint NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.02);
    CREATE INDEX key_until_ms ON "it".key (until_ms);
    -- Up to when keys have been removed: the next look begins there and not at rows that are gone.
    CREATE TABLE "it".key_removed (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      until_ms bigint NOT NULL
    );
    INSERT INTO "it".key_removed (until_ms) VALUES (0);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION "it".now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
  'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

-- Where the log ends: of an empty one, before its first entry.
CREATE OR REPLACE FUNCTION "it".tip(
  OUT segment bigint, OUT stored_before bigint,
  OUT last bigint, OUT print bytea, OUT published_ms bigint, OUT stored bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
  newest record;
  entry record;
BEGIN
  SELECT * INTO newest FROM "it".segment s ORDER BY s.number DESC LIMIT 1;
  IF NOT FOUND THEN
    last := 0; published_ms := 0; stored := 0; stored_before := 0;
    RETURN;
  END IF;
  segment := newest.number;
  stored_before := newest.stored_before;
  EXECUTE format('SELECT position, print, published_ms, stored FROM "it".%I ORDER BY position DESC LIMIT 1', 'log_' || segment)
    INTO entry;
  IF entry.position IS NULL THEN
    last := newest.first - 1;
    print := newest.print_before;
    published_ms := newest.published_ms_before;
    stored := newest.stored_before;
  ELSE
    last := entry.position;
    print := entry.print;
    published_ms := entry.published_ms;
    stored := entry.stored;
  END IF;
END $$;

-- The line, or 'none', or 'half' if there are entries without a head.
CREATE OR REPLACE FUNCTION "it".line(
  OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tip record;
BEGIN
  SELECT h.epoch, h.secret INTO epoch, secret FROM "it".head h;
  SELECT min(s.first) INTO oldest FROM "it".segment s;
  IF epoch IS NULL THEN
    state := CASE WHEN oldest IS NULL THEN 'none' ELSE 'half' END;
    RETURN;
  END IF;
  state := 'line';
  SELECT * INTO tip FROM "it".tip();
  last := tip.last;
  print := tip.print;
  oldest := coalesce(oldest, 1);
END $$;

-- Whether a call is its own transaction, in which each statement sees what was committed before it.
CREATE OR REPLACE FUNCTION "it".check_isolation() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the line changes only in transactions of READ COMMITTED, and this one is %', current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state', HINT = 'Take default_transaction_isolation back from the user of the hubs.';
  END IF;
END $$;

-- Reads the line, or makes it of an epoch and a secret, of which one decides. 'made', 'found', or as line().
CREATE OR REPLACE FUNCTION "it".init(
  p_epoch text, p_secret bytea,
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
  answer := CASE state WHEN 'line' THEN 'found' ELSE state END;
  IF state <> 'none' OR p_secret IS NULL THEN
    RETURN;
  END IF;
  PERFORM "it".check_isolation();
  INSERT INTO "it".head (epoch, secret) VALUES (p_epoch, p_secret) ON CONFLICT DO NOTHING;
  answer := CASE WHEN FOUND THEN 'made' ELSE 'found' END;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
END $$;

-- Makes the next segment. An update of rows there never is, so nothing has to be vacuumed.
CREATE OR REPLACE FUNCTION "it".begin_segment(
  p_number bigint, p_first bigint, p_print bytea, p_published_ms bigint, p_stored bigint
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  EXECUTE format(
    'CREATE TABLE "it".%1$I (PRIMARY KEY (position)) INHERITS ("it".log) '
    'WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)', 'log_' || p_number);
  EXECUTE format('CREATE INDEX ON "it".%I (sender) WHERE sender IS NOT NULL', 'log_' || p_number);
  INSERT INTO "it".segment (number, first, print_before, published_ms_before, stored_before)
    VALUES (p_number, p_first, p_print, p_published_ms, p_stored);
END $$;

-- Drops the oldest segments while the others hold the bytes of the window. A segment that anybody
-- reads, a backup for example, is left to a later call.
CREATE OR REPLACE FUNCTION "it".trim(p_window bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  stored bigint := (SELECT t.stored FROM "it".tip() t);
  old record;
BEGIN
  FOR old IN
    SELECT s.number, lead(s.stored_before) OVER (ORDER BY s.number) AS stored FROM "it".segment s ORDER BY s.number
  LOOP
    EXIT WHEN old.stored IS NULL OR stored - old.stored < p_window;
    BEGIN
      EXECUTE format('LOCK TABLE "it".%I IN ACCESS EXCLUSIVE MODE NOWAIT', 'log_' || old.number);
      EXECUTE format('DROP TABLE "it".%I', 'log_' || old.number);
      DELETE FROM "it".segment s WHERE s.number = old.number;
    EXCEPTION WHEN lock_not_available THEN
      EXIT;
    END;
  END LOOP;
END $$;

-- Sets how far the commit is waited for.
CREATE OR REPLACE FUNCTION "it".wait_for_standbys(p_replicated boolean) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF NOT p_replicated THEN
    RETURN;
  END IF;
  IF current_setting('synchronous_standby_names') = '' THEN
    RAISE EXCEPTION 'no standby is waited for: synchronous_standby_names is empty'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Name the standbys in synchronous_standby_names, or acknowledge by "engine".';
  END IF;
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

-- Stores entries after the tip, and wakes the followers when the transaction commits.
CREATE OR REPLACE FUNCTION "it".store(
  p_window bigint, p_sender bytea, p_places bigint[],
  p_published bigint[], p_prints bytea[], p_origins bytea[], p_bytes bytea[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  tip record;
  newest bigint;
  target bigint;
BEGIN
  SELECT * INTO tip FROM "it".tip();
  target := tip.segment;
  newest := tip.stored - tip.stored_before;
  -- Eight segments or nine are a window. What an open transaction keeps beyond it makes the next ones
  -- larger, because an append looks for its batch in each of them.
  IF target IS NULL OR newest >= p_window / 8 AND newest >= (
    tip.stored - (SELECT min(s.stored_before) FROM "it".segment s) - p_window / 4) / 8
  THEN
    target := coalesce(target + 1, 0);
    PERFORM "it".begin_segment(target, tip.last + 1, tip.print, tip.published_ms, tip.stored);
  END IF;
  EXECUTE format(
    'INSERT INTO "it".%I (position, published_ms, stored, print, origin, sender, places, bytes) '
    'SELECT $1 + e.o, e.ms, $2 + sum(octet_length(e.bytes) + 256) OVER (ORDER BY e.o ROWS UNBOUNDED PRECEDING), e.print, e.origin, '
    'CASE e.o WHEN 1 THEN $3 END, CASE e.o WHEN 1 THEN $4 END, e.bytes '
    'FROM unnest($5, $6, $7, $8) WITH ORDINALITY AS e(ms, print, origin, bytes, o)', 'log_' || target)
    USING tip.last, tip.stored, p_sender, p_places, p_published, p_prints, p_origins, p_bytes;
  IF target <> tip.segment THEN
    PERFORM "it".trim(p_window);
  END IF;
  PERFORM pg_notify('it', '');
END $$;

-- Takes a batch at the next positions, all or nothing. Arrays have an element for each item; p_keys is
-- NULL if no item has a key. 'ok', 'again', or why nothing was taken; a place below 0 is that of an
-- item which came before.
CREATE OR REPLACE FUNCTION "it".append(
  p_epoch text, p_seen bigint, p_print bytea, p_sender bytea, p_window bigint, p_replicated boolean,
  p_origins bytea[], p_digests bytea[], p_keys bytea[], p_ttls_ms bigint[], p_bytes bytea[],
  OUT answer text, OUT last bigint, OUT places bigint[]
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  position_max CONSTANT bigint := 9007199254740991;
  items CONSTANT integer := cardinality(p_bytes);
  head_epoch text;
  tip record;
  old record;
  seen_print bytea;
  known bigint[];
  first_of bigint[];
  fresh integer := 0;
  now_ms bigint;
  time_text text;
  print bytea;
  origins bytea[] := p_origins;
  bytes bytea[] := p_bytes;
  prints bytea[];
BEGIN
  PERFORM "it".check_isolation();
  PERFORM "it".wait_for_standbys(p_replicated);
  SELECT h.epoch INTO head_epoch FROM "it".head h FOR UPDATE;
  IF NOT FOUND THEN
    answer := 'none'; last := 0;
    RETURN;
  END IF;
  SELECT * INTO tip FROM "it".tip();
  last := tip.last;
  IF head_epoch <> p_epoch THEN
    answer := 'epoch';
    RETURN;
  END IF;
  SELECT l.position, l.places INTO old FROM "it".log l WHERE l.sender = p_sender LIMIT 1;
  IF FOUND THEN
    answer := 'again';
    places := coalesce(old.places, ARRAY(SELECT generate_series(old.position, old.position + items - 1)));
    RETURN;
  END IF;
  IF tip.last < p_seen THEN
    answer := 'rewound';
    RETURN;
  END IF;
  IF p_print IS NOT NULL AND p_seen > 0 THEN
    seen_print := CASE WHEN p_seen = tip.last THEN tip.print ELSE "it".print_at(p_seen) END;
    IF seen_print IS DISTINCT FROM p_print THEN
      answer := CASE WHEN seen_print IS NULL THEN 'behind' ELSE 'forked' END;
      RETURN;
    END IF;
  END IF;

  now_ms := greatest("it".now_ms(), tip.published_ms);
  IF p_keys IS NOT NULL THEN
    SELECT array_agg(f.position ORDER BY f.o), array_agg(f.first ORDER BY f.o) INTO known, first_of FROM (
      SELECT i.o, k.position, CASE WHEN i.key IS NOT NULL THEN min(i.o) OVER (PARTITION BY i.key) END AS first
        FROM unnest(p_keys) WITH ORDINALITY AS i(key, o)
        LEFT JOIN "it".key k ON k.key = i.key AND k.until_ms > now_ms
    ) f;
    origins := '{}';
    bytes := '{}';
  END IF;
  print := tip.print;
  time_text := ':' || now_ms || ':';
  FOR i IN 1 .. items LOOP
    IF known[i] IS NOT NULL THEN
      places[i] := -known[i];
    ELSIF first_of[i] < i THEN
      places[i] := -places[first_of[i]];
    ELSE
      fresh := fresh + 1;
      places[i] := tip.last + fresh;
      -- As tidings_cluster::link_sha256 forms it. A call of a function for each would take three times as long.
      print := substr(sha256((coalesce(encode(print, 'hex'), '') || time_text || encode(p_digests[i], 'hex'))::bytea), 1, 16);
      prints[fresh] := print;
      IF p_keys IS NOT NULL THEN
        origins[fresh] := p_origins[i];
        bytes[fresh] := p_bytes[i];
      END IF;
    END IF;
  END LOOP;
  IF tip.last + fresh > position_max THEN
    answer := 'full'; places := NULL;
    RETURN;
  END IF;
  answer := 'ok';
  last := tip.last + fresh;
  IF fresh = 0 THEN
    RETURN;
  END IF;
  PERFORM "it".store(
    p_window, p_sender, CASE WHEN fresh < items THEN places END,
    array_fill(now_ms, ARRAY[fresh]), prints, origins, bytes);
  IF p_keys IS NOT NULL THEN
    PERFORM "it".keep_keys(p_keys, p_ttls_ms, places, now_ms);
  END IF;
END $$;

-- Remembers the keys of entries: of those with a place above 0.
CREATE OR REPLACE FUNCTION "it".keep_keys(
  p_keys bytea[], p_ttls_ms bigint[], p_places bigint[], p_now_ms bigint
) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO "it".key (key, position, until_ms)
    SELECT DISTINCT ON (i.key) i.key, i.place, p_now_ms + i.ttl_ms
      FROM unnest(p_keys, p_ttls_ms, p_places) WITH ORDINALITY AS i(key, ttl_ms, place, o)
      WHERE i.key IS NOT NULL AND i.place > 0 ORDER BY i.key, i.o DESC
    ON CONFLICT (key) DO UPDATE SET position = excluded.position, until_ms = excluded.until_ms;
$$;

-- The print of the entry at a position, if it is in the window.
CREATE OR REPLACE FUNCTION "it".print_at(p_position bigint) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
  number bigint := (SELECT s.number FROM "it".segment s WHERE s.first <= p_position ORDER BY s.number DESC LIMIT 1);
  found bytea;
BEGIN
  IF number IS NOT NULL THEN
    EXECUTE format('SELECT print FROM "it".%I WHERE position = $1', 'log_' || number) INTO found USING p_position;
  END IF;
  RETURN found;
END $$;

-- Returns entries after p_after and up to p_upto, of at most p_bytes_max bytes or one; without any, one
-- row says where the line ends and where its window begins. Only reads, so a standby may answer.
CREATE OR REPLACE FUNCTION "it".read(p_after bigint, p_upto bigint, p_bytes_max bigint, p_entries_max bigint)
RETURNS TABLE (
  last bigint, oldest bigint, "position" bigint, published_ms bigint, origin bytea, print bytea, bytes bytea
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tip record;
  number bigint;
BEGIN
  SELECT * INTO tip FROM "it".tip();
  last := CASE WHEN EXISTS (SELECT FROM "it".head) THEN tip.last ELSE 0 END;
  SELECT coalesce(min(s.first), 1) INTO oldest FROM "it".segment s;
  IF p_after < last THEN
    SELECT s.number INTO number FROM "it".segment s WHERE s.first <= p_after + 1 ORDER BY s.number DESC LIMIT 1;
  END IF;
  IF number IS NOT NULL THEN
    BEGIN
      RETURN QUERY EXECUTE format(
        'WITH f AS (SELECT stored - octet_length(bytes) AS before FROM "it".%1$I WHERE position = $1 + 1) '
        'SELECT $5, $6, l.position, l.published_ms, l.origin, l.print, l.bytes FROM "it".%1$I l, f '
        'WHERE l.position > $1 AND l.position <= least($2, $1 + $4) '
        'AND (l.stored - f.before <= $3 OR l.position = $1 + 1) ORDER BY l.position', 'log_' || number)
        USING p_after, p_upto, p_bytes_max, p_entries_max, last, oldest;
      IF FOUND THEN
        RETURN;
      END IF;
    EXCEPTION WHEN undefined_table THEN
      -- It was dropped after the snapshot of this call: who asks again gets the new window.
      NULL;
    END;
  END IF;
  RETURN NEXT;
END $$;

-- Where the line stands, by a write: a standby refuses it. And what has to be done now and then.
CREATE OR REPLACE FUNCTION "it".state(
  p_window bigint,
  OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM "it".check_isolation();
  PERFORM FROM "it".head h FOR UPDATE;
  IF FOUND THEN
    PERFORM "it".trim(p_window);
    PERFORM "it".remove_keys();
    PERFORM "it".remove_claims();
  END IF;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
END $$;

-- Removes keys whose life is over, so many at a time.
CREATE OR REPLACE FUNCTION "it".remove_keys() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  keys_max CONSTANT integer := 200000;
  now_ms CONSTANT bigint := "it".now_ms();
  from_ms bigint;
  to_ms bigint;
BEGIN
  SELECT r.until_ms INTO from_ms FROM "it".key_removed r;
  -- The clock of another server may be behind.
  IF from_ms IS NULL OR from_ms > now_ms THEN
    from_ms := 0;
  END IF;
  SELECT max(k.until_ms) INTO to_ms FROM (
    SELECT k.until_ms FROM "it".key k WHERE k.until_ms >= from_ms AND k.until_ms <= now_ms ORDER BY k.until_ms LIMIT keys_max
  ) k;
  IF to_ms IS NOT NULL THEN
    DELETE FROM "it".key k WHERE k.until_ms >= from_ms AND k.until_ms <= to_ms;
    UPDATE "it".key_removed SET until_ms = to_ms;
  END IF;
END $$;

-- Puts entries back as they were, if the line ends where it is expected to; on an empty engine, where
-- p_last is NULL, with epoch and secret. 'done', 'moved' or 'hole'.
CREATE OR REPLACE FUNCTION "it".restore(
  p_epoch text, p_secret bytea, p_last bigint, p_print bytea, p_first bigint, p_window bigint, p_replicated boolean,
  p_published bigint[], p_prints bytea[], p_origins bytea[], p_keys bytea[], p_ttls_ms bigint[], p_bytes bytea[],
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM "it".check_isolation();
  PERFORM "it".wait_for_standbys(p_replicated);
  IF p_last IS NULL THEN
    SELECT l.state INTO state FROM "it".line() l;
    answer := 'moved';
    IF state = 'none' THEN
      INSERT INTO "it".head (epoch, secret) VALUES (p_epoch, p_secret) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        answer := 'done';
      END IF;
    END IF;
  ELSE
    PERFORM FROM "it".head h FOR UPDATE;
    SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
    IF state <> 'line' OR epoch <> p_epoch OR last <> p_last OR print IS DISTINCT FROM p_print THEN
      answer := 'moved';
    ELSIF p_first <> last + 1 THEN
      answer := 'hole';
    ELSE
      answer := 'done';
    END IF;
  END IF;
  IF answer = 'done' THEN
    IF (SELECT t.segment FROM "it".tip() t) IS NULL THEN
      PERFORM "it".begin_segment(0, p_first, p_print, 0, 0);
    END IF;
    PERFORM "it".store(p_window, NULL, NULL, p_published, p_prints, p_origins, p_bytes);
    PERFORM "it".keep_keys(
      p_keys, p_ttls_ms, ARRAY(SELECT generate_series(p_first, p_first + cardinality(p_bytes) - 1)), "it".now_ms());
  END IF;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
END $$;

-- Gives the line a new epoch, by compare-and-set; with an epoch of NULL it only compares.
CREATE OR REPLACE FUNCTION "it".bump(
  p_epoch text, p_last bigint, p_new text,
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM "it".check_isolation();
  PERFORM FROM "it".head h FOR UPDATE;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM "it".line() l;
  answer := 'moved';
  IF state = 'line' AND epoch = p_epoch AND last = p_last THEN
    answer := 'done';
    IF p_new IS NOT NULL THEN
      UPDATE "it".head SET epoch = p_new;
    END IF;
  END IF;
END $$;

-- Who is alive, who stands in for whom, and who does what one of the cluster does; by the server's clock.

DO $$
BEGIN
  IF to_regclass('"it"' || '.lease') IS NULL THEN
    -- A crash empties it, and the hubs renew.
    CREATE UNLOGGED TABLE "it".lease (
      holder text PRIMARY KEY,
      until_ms bigint NOT NULL,
      record bytea NOT NULL
    ) WITH (fillfactor = 50);
    -- Who claimed a node: one that was only paused learns of it by this.
    CREATE TABLE "it".claim (
      holder text PRIMARY KEY,
      by_holder text NOT NULL,
      until_ms bigint NOT NULL
    );
    CREATE TABLE "it".named_lease (
      name text PRIMARY KEY,
      holder text NOT NULL,
      until_ms bigint NOT NULL,
      note bytea
    ) WITH (fillfactor = 50);
  END IF;
END $$;

-- Renews the lease of a node. Without a record the earlier one stays. Returns who claimed the node, if
-- somebody did.
CREATE OR REPLACE FUNCTION "it".renew(p_holder text, p_ttl_ms bigint, p_record bytea, OUT by_holder text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM "it".check_isolation();
  SELECT c.by_holder INTO by_holder FROM "it".claim c WHERE c.holder = p_holder;
  IF NOT FOUND THEN
    INSERT INTO "it".lease AS l (holder, until_ms, record)
      VALUES (p_holder, "it".now_ms() + p_ttl_ms, coalesce(p_record, ''))
      ON CONFLICT (holder) DO UPDATE SET until_ms = excluded.until_ms, record = coalesce(p_record, l.record);
  END IF;
END $$;

-- Takes or renews a lease with a name; gives it up with a p_ttl_ms of 0. Returns who holds it, the
-- caller also after giving it up, and what the last holder left that left anything.
CREATE OR REPLACE FUNCTION "it".hold(
  p_name text, p_holder text, p_ttl_ms bigint, p_note bytea, OUT holder text, OUT note bytea
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  now_ms bigint;
  old record;
  free boolean;
BEGIN
  PERFORM "it".check_isolation();
  IF p_ttl_ms > 0 THEN
    INSERT INTO "it".named_lease (name, holder, until_ms) VALUES (p_name, p_holder, 0) ON CONFLICT DO NOTHING;
  END IF;
  SELECT * INTO old FROM "it".named_lease n WHERE n.name = p_name FOR UPDATE;
  now_ms := "it".now_ms();
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
  UPDATE "it".named_lease n
    SET holder = p_holder, until_ms = CASE p_ttl_ms WHEN 0 THEN 0 ELSE now_ms + p_ttl_ms END, note = hold.note
    WHERE n.name = p_name;
END $$;

-- Returns who holds these names now.
CREATE OR REPLACE FUNCTION "it".holders(p_names text[]) RETURNS TABLE (name text, holder text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT n.name, n.holder FROM "it".named_lease n WHERE n.name = ANY (p_names) AND n.until_ms > "it".now_ms();
$$;

-- Returns the nodes that have a lease, also those whose lease has lapsed.
CREATE OR REPLACE FUNCTION "it".leases() RETURNS TABLE (holder text, alive boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.holder, l.until_ms > "it".now_ms() FROM "it".lease l;
$$;

-- Returns what a node leaves to whoever claims it.
CREATE OR REPLACE FUNCTION "it".record_of(p_holder text) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.record FROM "it".lease l WHERE l.holder = p_holder;
$$;

-- Claims a node whose lease has lapsed. 'won' with its record, 'alive' or 'gone'.
CREATE OR REPLACE FUNCTION "it".claim(
  p_dead text, p_by text, p_trace_ms bigint, OUT answer text, OUT record bytea
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  now_ms CONSTANT bigint := "it".now_ms();
BEGIN
  PERFORM "it".check_isolation();
  DELETE FROM "it".lease l WHERE l.holder = p_dead AND l.until_ms <= now_ms RETURNING l.record INTO record;
  IF FOUND THEN
    answer := 'won';
    INSERT INTO "it".claim AS c (holder, by_holder, until_ms) VALUES (p_dead, p_by, now_ms + p_trace_ms)
      ON CONFLICT (holder) DO UPDATE SET by_holder = excluded.by_holder, until_ms = excluded.until_ms;
    RETURN;
  END IF;
  PERFORM FROM "it".lease l WHERE l.holder = p_dead;
  answer := CASE WHEN FOUND THEN 'alive' ELSE 'gone' END;
END $$;

CREATE OR REPLACE FUNCTION "it".remove_claims() RETURNS void LANGUAGE sql VOLATILE AS
  'DELETE FROM "it".claim c WHERE c.until_ms <= "it".now_ms()';

-- Publishing inside a transaction: the inbox, publish() and position().
--
-- publish() puts a row into the inbox, within the caller's own transaction: the row exists exactly if that
-- transaction commits. It takes no lock that another transaction could wait for. One hub of the cluster
-- publishes the rows in the order of their ids, and removes them (inbox_next, inbox_done, inbox_refuse).
--
-- Why the order of ids keeps causes before effects: who has seen a commit takes ids that are greater than
-- those of the transaction that committed, and no snapshot has an effect without its cause. Ids of
-- transactions that ran side by side may become visible in any order.

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database has the encoding %, and updates are UTF-8', current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported', HINT = 'Create one with ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS "it".inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- By which the update is stored once, however often it is sent. Ids would not do: after a failover that
    -- lost something the sequence may go back.
    key uuid NOT NULL DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    topics text[] NOT NULL,
    data text NOT NULL,
    private boolean NOT NULL,
    event_id text,
    type text,
    retry bigint
) WITH (
    -- Rows live for milliseconds, so the table is small if it is vacuumed often.
    autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 100000
);

-- What the hub refused although publish() took it, with the reason.
CREATE TABLE IF NOT EXISTS "it".inbox_refused (
    id bigint PRIMARY KEY,
    key uuid NOT NULL,
    at timestamptz NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    topics text[] NOT NULL,
    data text NOT NULL,
    private boolean NOT NULL,
    event_id text,
    type text,
    retry bigint
);

-- Limits that depend on the hub's configuration. The hubs write them at their start.
CREATE TABLE IF NOT EXISTS "it".inbox_limits (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    body_bytes_max bigint NOT NULL DEFAULT 1048576,
    -- The path of the hub's URL, below which only the hub publishes.
    hub_path text NOT NULL DEFAULT '/.well-known/mercure'
);
INSERT INTO "it".inbox_limits DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Returns the first control or format character of a name; null if it has none. Unicode 16, category Cf.
CREATE OR REPLACE FUNCTION "it".forbidden_character(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(name FROM '[\u0001-\u001F\u007F-\u009F\u00AD\u0600-\u0605\u061C\u06DD\u070F\u0890\u0891\u08E2\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\uFFF9-\uFFFB\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0001\U000E0020-\U000E007F]')
$$;

-- Refuses what a hub would refuse, with an error that says what to change.
CREATE OR REPLACE FUNCTION "it".check_name(what text, name text, bytes_max int) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    found text := "it".forbidden_character(name);
BEGIN
    IF octet_length(name) > bytes_max THEN
        RAISE EXCEPTION USING ERRCODE = 'string_data_right_truncation',
            MESSAGE = format('%s has %s bytes, more than %s', what, octet_length(name), bytes_max),
            DETAIL = format('It begins with %L.', left(name, 100)),
            HINT = 'Use a shorter one: names belong here, contents into data.';
    END IF;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s contains U+%s, a control or format character', what,
                upper(lpad(to_hex(ascii(found)), 4, '0'))),
            DETAIL = format('It is at character %s.', strpos(name, found)),
            HINT = 'Remove line breaks and invisible characters, for example with btrim() or regexp_replace().';
    END IF;
END
$$;

-- Publishes an update if the transaction commits, and nothing if it does not. The fields are those of the
-- HTTP door (docs/guide/publish-from-sql.md).
CREATE OR REPLACE FUNCTION "it".publish(
    topics text[], data text DEFAULT '', private boolean DEFAULT false, id text DEFAULT NULL,
    type text DEFAULT NULL, retry bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- First: whoever reads the sequence and then takes a snapshot must find this transaction in it. See
    -- inbox_next().
    transaction constant xid8 := pg_current_xact_id();
    limits "it".inbox_limits;
    name text;
    bytes bigint;
BEGIN
    IF topics IS NULL OR cardinality(topics) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'an update has no topic',
            HINT = 'Name at least one: topics => ARRAY[''https://example.com/orders/1''].';
    END IF;
    IF array_ndims(topics) <> 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'array_subscript_error',
            MESSAGE = format('the topics are an array of %s dimensions', array_ndims(topics)),
            HINT = 'Pass a list: ARRAY[''https://example.com/a'', ''https://example.com/b''].';
    END IF;
    IF cardinality(topics) > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('an update has %s topics, more than 1000', cardinality(topics)),
            HINT = 'Publish one topic that all receivers subscribe to, or several updates.';
    END IF;
    IF array_position(topics, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('topic %s is null', array_position(topics, NULL)),
            HINT = 'A text that is put together with null is null: use coalesce() or format().';
    END IF;
    IF data IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'data is null',
            HINT = 'Leave data out for an update without contents. A text that is put together with null is null: use coalesce() or format().';
    END IF;
    IF private IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'private is null',
            HINT = 'Pass true or false; without private the update is public.';
    END IF;
    SELECT * INTO limits FROM "it".inbox_limits;
    FOREACH name IN ARRAY topics LOOP
        PERFORM "it".check_topic(name, limits.hub_path);
    END LOOP;
    -- An empty id and an empty type mean the same as none.
    id := nullif(id, '');
    type := nullif(type, '');
    PERFORM "it".check_id(id);
    PERFORM "it".check_type(type);
    IF retry < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range',
            MESSAGE = format('retry is %s', retry),
            HINT = 'retry is a number of milliseconds, 0 or more.';
    END IF;
    bytes := octet_length(data) + (SELECT sum(octet_length(t)) FROM unnest(topics) AS t)
        + coalesce(octet_length(id), 0) + coalesce(octet_length(type), 0);
    IF bytes > limits.body_bytes_max THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('an update has %s bytes, more than %s', bytes, limits.body_bytes_max),
            DETAIL = 'Counted are topics, data, id and type.',
            HINT = 'Publish what changed, or where it can be read; or raise publish.body_bytes_max of the hubs.';
    END IF;
    INSERT INTO "it".inbox (topics, data, private, event_id, type, retry)
    VALUES (publish.topics, publish.data, publish.private, publish.id, publish.type, publish.retry);
END
$$;

CREATE OR REPLACE FUNCTION "it".publish(
    topic text, data text DEFAULT '', private boolean DEFAULT false, id text DEFAULT NULL,
    type text DEFAULT NULL, retry bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM "it".publish(ARRAY[topic], data, private, id, type, retry);
END
$$;

CREATE OR REPLACE FUNCTION "it".check_topic(topic text, hub_path text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    path text := regexp_replace(split_part(split_part(topic, '#', 1), '?', 1), '^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/]*', '');
BEGIN
    IF topic = '' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a topic is empty',
            HINT = 'A topic names what changed, mostly by its URL.';
    END IF;
    IF topic = '*' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = '''*'' is the wildcard matcher and cannot be a topic',
            HINT = 'Publish to a topic of its own that everybody subscribes to.';
    END IF;
    PERFORM "it".check_name('a topic', topic, 4096);
    -- The hub compares after resolving, and refuses what is spelled in another way.
    IF path = hub_path OR starts_with(path, hub_path || '/') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('topic %L is inside %s, which is reserved for what the hub publishes itself', left(topic, 100), hub_path),
            HINT = 'Choose another path.';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION "it".check_id(id text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF id = 'earliest' OR starts_with(id, '#') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = CASE WHEN id = 'earliest' THEN '''earliest'' is reserved and cannot be an event id'
                ELSE 'an event id begins with ''#'', which is reserved for the hub' END,
            HINT = 'Leave id out: the hub makes one.';
    END IF;
    IF id LIKE ' %' OR id LIKE '% ' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'an event id begins or ends with a space, which Last-Event-ID cannot carry',
            HINT = 'Use btrim(), or leave id out: the hub makes one.';
    END IF;
    PERFORM "it".check_name('an event id', id, 1024);
END
$$;

CREATE OR REPLACE FUNCTION "it".check_type(type text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF type = 'mercure' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the event type ''mercure'' is reserved for the hub',
            HINT = 'Choose another name, or leave type out.';
    END IF;
    PERFORM "it".check_name('an event type', type, 256);
END
$$;

-- For the hub that has the turn: removes the rows `done`, and returns the next ones in the order of ids, without
-- those of `busy`, at most `rows_max` and `bytes_max`, or one row that is larger. The first columns are the same
-- in each row, and there is one row with a null id if nothing waits:
--   last    no greater id had been given out before the look
--   newest  with `mark`, a transaction that began after those that had been given these ids
--   oldest  all transactions before it have ended
-- Once `oldest` of a look has reached the `newest` of an earlier one, no row with an id up to its `last` comes
-- any more. Then `after` may be that, so that a look does not go through the removed rows that somebody's long
-- transaction keeps from being vacuumed.
CREATE OR REPLACE FUNCTION "it".inbox_next(
    done bigint[], after bigint, busy bigint[], rows_max int, bytes_max bigint, mark boolean
) RETURNS TABLE (
    last bigint, newest bigint, oldest bigint, id bigint, key bytea, waited_ms bigint, topics text[],
    data text, private boolean, event_id text, type text, retry bigint
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
    -- The order of the primary key, whatever the statistics of a table say that is empty most of the time.
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    -- In this order, and before the statement below takes its snapshot. publish() has its transaction before its id.
    given constant bigint := coalesce(pg_sequence_last_value(pg_get_serial_sequence('"it"' || '.inbox', 'id')), 0);
    marked constant bigint := CASE WHEN mark THEN pg_current_xact_id()::text::bigint END;
BEGIN
    PERFORM "it".check_isolation();
    IF cardinality(done) > 0 THEN
        DELETE FROM "it".inbox AS i WHERE i.id = ANY (done);
    END IF;
    RETURN QUERY
    WITH first_rows AS MATERIALIZED (
        SELECT i.* FROM "it".inbox AS i
        WHERE i.id > after AND i.id <> ALL (busy)
        ORDER BY i.id LIMIT rows_max
    ), counted AS (
        SELECT r.*, sum(octet_length(r.data) + pg_column_size(r.topics)) OVER (ORDER BY r.id) AS bytes,
            min(r.id) OVER () AS head
        FROM first_rows AS r
    )
    SELECT given, marked, pg_snapshot_xmin(s.now)::text::bigint,
        c.id, uuid_send(c.key), (extract(epoch FROM clock_timestamp() - c.at) * 1000)::bigint, c.topics, c.data,
        c.private, c.event_id, c.type, c.retry
    FROM (SELECT pg_current_snapshot() AS now) AS s
    LEFT JOIN counted AS c ON c.bytes <= bytes_max OR c.id = c.head
    ORDER BY c.id;
END
$$;

-- Removes rows that were published.
CREATE OR REPLACE FUNCTION "it".inbox_done(ids bigint[]) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    DELETE FROM "it".inbox WHERE id = ANY (ids)
$$;

-- Moves a row that the hub refuses out of the way, with the reason.
CREATE OR REPLACE FUNCTION "it".inbox_refuse(refused bigint, why text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH moved AS (DELETE FROM "it".inbox WHERE id = refused RETURNING *)
    INSERT INTO "it".inbox_refused (id, key, at, reason, topics, data, private, event_id, type, retry)
    SELECT id, key, at, why, topics, data, private, event_id, type, retry FROM moved
$$;

-- Returns how many rows wait, counted up to `most`, since how many milliseconds the oldest of those, and how
-- many were refused.
CREATE OR REPLACE FUNCTION "it".inbox_state(after bigint, most int, OUT waiting bigint, OUT waits_ms bigint, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*), coalesce((extract(epoch FROM clock_timestamp() - min(i.at)) * 1000)::bigint, 0),
        (SELECT count(*) FROM "it".inbox_refused)
    FROM (SELECT b.at FROM "it".inbox AS b WHERE b.id > after ORDER BY b.id LIMIT most) AS i
$$;

-- Writes the limits of the hub's configuration, if they differ.
CREATE OR REPLACE FUNCTION "it".inbox_limit(body_bytes_max bigint, hub_path text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE "it".inbox_limits AS l
    SET body_bytes_max = inbox_limit.body_bytes_max, hub_path = inbox_limit.hub_path
    WHERE (l.body_bytes_max, l.hub_path) IS DISTINCT FROM (inbox_limit.body_bytes_max, inbox_limit.hub_path)
$$;

-- SipHash-2-4 of whole words of eight bytes, little endian; https://www.aumasson.jp/siphash. The ids of the hub
-- are made with it. A bigint is a word: its bits count and not its sign.
CREATE OR REPLACE FUNCTION "it".siphash(key bytea, words bigint[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    half constant bigint := 4294967295;
    k0 constant bigint := "it".little_endian(key, 0);
    k1 constant bigint := "it".little_endian(key, 8);
    v0 bigint := k0 # x'736f6d6570736575'::bigint;
    v1 bigint := k1 # x'646f72616e646f6d'::bigint;
    v2 bigint := k0 # x'6c7967656e657261'::bigint;
    v3 bigint := k1 # x'7465646279746573'::bigint;
    word bigint;
    low bigint;
    blocks constant int := cardinality(words) + 1;
    -- The last word has the number of bytes, modulo 256, in its highest byte.
    ends constant bigint := (cardinality(words) * 8 % 256)::bigint << 56;
BEGIN
    FOR block IN 1..blocks + 1 LOOP
        -- After the words come the rounds of finalization, over no word.
        word := CASE WHEN block < blocks THEN words[block] WHEN block = blocks THEN ends ELSE 0 END;
        IF block <= blocks THEN v3 := v3 # word; ELSE v2 := v2 # 255; END IF;
        FOR round IN 1..CASE WHEN block <= blocks THEN 2 ELSE 4 END LOOP
            -- Sums without the carry out of 64 bits, by halves, since a bigint that overflows is an error.
            low := (v0 & half) + (v1 & half);
            v0 := (((v0 >> 32) & half) + ((v1 >> 32) & half) + (low >> 32)) << 32 | (low & half);
            v1 := (v1 << 13) | ((v1 >> 51) & 8191);
            v1 := v1 # v0;
            v0 := (v0 << 32) | ((v0 >> 32) & half);
            low := (v2 & half) + (v3 & half);
            v2 := (((v2 >> 32) & half) + ((v3 >> 32) & half) + (low >> 32)) << 32 | (low & half);
            v3 := (v3 << 16) | ((v3 >> 48) & 65535);
            v3 := v3 # v2;
            low := (v0 & half) + (v3 & half);
            v0 := (((v0 >> 32) & half) + ((v3 >> 32) & half) + (low >> 32)) << 32 | (low & half);
            v3 := (v3 << 21) | ((v3 >> 43) & 2097151);
            v3 := v3 # v0;
            low := (v2 & half) + (v1 & half);
            v2 := (((v2 >> 32) & half) + ((v1 >> 32) & half) + (low >> 32)) << 32 | (low & half);
            v1 := (v1 << 17) | ((v1 >> 47) & 131071);
            v1 := v1 # v2;
            v2 := (v2 << 32) | ((v2 >> 32) & half);
        END LOOP;
        IF block <= blocks THEN v0 := v0 # word; END IF;
    END LOOP;
    RETURN v0 # v1 # v2 # v3;
END
$$;

-- Reads eight bytes as a word.
CREATE OR REPLACE FUNCTION "it".little_endian(bytes bytea, at int) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT bit_or(get_byte(bytes, at + i)::bigint << (8 * i)) FROM generate_series(0, 7) AS i
$$;

-- Returns the event id of the entry at a position with a print, as a hub makes it (crates/tidings-core, id_seal).
CREATE OR REPLACE FUNCTION "it".event_id(secret bytea, place bigint, print bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    tag constant bigint := "it".siphash(substring(secret FROM 1 FOR 16),
        ARRAY[place, "it".little_endian(print, 0), "it".little_endian(print, 8)]) & x'03ffffffffffffff'::bigint;
    masked constant bigint := place # "it".siphash(substring(secret FROM 17 FOR 16), ARRAY[tag]);
    -- 48 bits of the tag, version 8, 10 bits of the tag, 2 of the masked position; the variant and 62 bits of that.
    high constant bigint := ((tag >> 10) << 16) | x'8000'::bigint | ((tag & 1023) << 2) | ((masked >> 62) & 3);
    low constant bigint := (masked & x'3fffffffffffffff'::bigint) | x'8000000000000000'::bigint;
BEGIN
    RETURN 'urn:uuid:' || (lpad(to_hex(high), 16, '0') || lpad(to_hex(low), 16, '0'))::uuid;
END
$$;

-- Returns the event id from which a subscriber gets everything that the caller's snapshot does not see. In READ
-- COMMITTED each statement has a snapshot of its own: call it in the statement that reads the state, or before.
CREATE OR REPLACE FUNCTION "it".position() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(
        (SELECT "it".event_id(h.secret, t.last, t.print) FROM "it".head AS h, "it".tip() AS t
         WHERE t.print IS NOT NULL),
        'earliest');
EXCEPTION
    -- The newest entry that this snapshot sees has left the window.
    WHEN undefined_table THEN RETURN 'earliest';
END
$$;

-- Whoever may use the schema calls what it was granted, and touches no table.
REVOKE ALL ON ALL TABLES IN SCHEMA "it" FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "it" FROM PUBLIC;

INSERT INTO "it".schema_version AS v (version) VALUES (1)
  ON CONFLICT (one) DO UPDATE SET version = excluded.version;

COMMIT;
