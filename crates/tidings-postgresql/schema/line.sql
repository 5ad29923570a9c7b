-- The line of a cluster: its head, its log, and the functions of hubs that read and change them.
--
-- {schema}, {schema_text} and {name} stand for the schema: an identifier, that as a text, and its name.
-- The head's row is only locked: a new version for each append could not be removed while anybody's
-- transaction is open, and each append would read all of them.
-- The log is inherited by segments, in which its rows are. An append makes a segment without a lock
-- that anybody waits for, and the oldest one is dropped as a whole, when nobody reads it.

DO $$
BEGIN
  IF to_regclass({schema_text} || '.head') IS NULL THEN
    CREATE TABLE {schema}.head (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      epoch text NOT NULL,
      secret bytea NOT NULL
    );
    -- Where each segment begins, and how the line stood before. Rows are never changed.
    CREATE TABLE {schema}.segment (
      number bigint PRIMARY KEY,
      first bigint NOT NULL,
      print_before bytea,
      published_ms_before bigint NOT NULL,
      stored_before bigint NOT NULL
    );
    CREATE TABLE {schema}.log (
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
    ALTER TABLE {schema}.log ALTER COLUMN bytes SET STORAGE EXTERNAL;
    -- The position of what came with an idempotency key first.
    CREATE TABLE {schema}.key (
      key bytea PRIMARY KEY,
      position bigint NOT NULL,
      until_ms bigint NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0.02);
    CREATE INDEX key_until_ms ON {schema}.key (until_ms);
    -- Up to when keys have been removed: the next look begins there and not at rows that are gone.
    CREATE TABLE {schema}.key_removed (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      until_ms bigint NOT NULL
    );
    INSERT INTO {schema}.key_removed (until_ms) VALUES (0);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
  'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

-- Where the log ends: of an empty one, before its first entry.
CREATE OR REPLACE FUNCTION {schema}.tip(
  OUT segment bigint, OUT stored_before bigint,
  OUT last bigint, OUT print bytea, OUT published_ms bigint, OUT stored bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
  newest record;
  entry record;
BEGIN
  SELECT * INTO newest FROM {schema}.segment s ORDER BY s.number DESC LIMIT 1;
  IF NOT FOUND THEN
    last := 0; published_ms := 0; stored := 0; stored_before := 0;
    RETURN;
  END IF;
  segment := newest.number;
  stored_before := newest.stored_before;
  EXECUTE format('SELECT position, print, published_ms, stored FROM {schema}.%I ORDER BY position DESC LIMIT 1', 'log_' || segment)
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
CREATE OR REPLACE FUNCTION {schema}.line(
  OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tip record;
BEGIN
  SELECT h.epoch, h.secret INTO epoch, secret FROM {schema}.head h;
  SELECT min(s.first) INTO oldest FROM {schema}.segment s;
  IF epoch IS NULL THEN
    state := CASE WHEN oldest IS NULL THEN 'none' ELSE 'half' END;
    RETURN;
  END IF;
  state := 'line';
  SELECT * INTO tip FROM {schema}.tip();
  last := tip.last;
  print := tip.print;
  oldest := coalesce(oldest, 1);
END $$;

-- Whether a call is its own transaction, in which each statement sees what was committed before it.
CREATE OR REPLACE FUNCTION {schema}.check_isolation() RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the line changes only in transactions of READ COMMITTED, and this one is %', current_setting('transaction_isolation')
      USING ERRCODE = 'invalid_transaction_state', HINT = 'Take default_transaction_isolation back from the user of the hubs.';
  END IF;
END $$;

-- Reads the line, or makes it of an epoch and a secret, of which one decides. 'made', 'found', or as line().
CREATE OR REPLACE FUNCTION {schema}.init(
  p_epoch text, p_secret bytea,
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
  answer := CASE state WHEN 'line' THEN 'found' ELSE state END;
  IF state <> 'none' OR p_secret IS NULL THEN
    RETURN;
  END IF;
  PERFORM {schema}.check_isolation();
  INSERT INTO {schema}.head (epoch, secret) VALUES (p_epoch, p_secret) ON CONFLICT DO NOTHING;
  answer := CASE WHEN FOUND THEN 'made' ELSE 'found' END;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
END $$;

-- Makes the next segment. An update of rows there never is, so nothing has to be vacuumed.
CREATE OR REPLACE FUNCTION {schema}.begin_segment(
  p_number bigint, p_first bigint, p_print bytea, p_published_ms bigint, p_stored bigint
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  EXECUTE format(
    'CREATE TABLE {schema}.%1$I (PRIMARY KEY (position)) INHERITS ({schema}.log) '
    'WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)', 'log_' || p_number);
  EXECUTE format('CREATE INDEX ON {schema}.%I (sender) WHERE sender IS NOT NULL', 'log_' || p_number);
  INSERT INTO {schema}.segment (number, first, print_before, published_ms_before, stored_before)
    VALUES (p_number, p_first, p_print, p_published_ms, p_stored);
END $$;

-- Drops the oldest segments while the others hold the bytes of the window. A segment that anybody
-- reads, a backup for example, is left to a later call.
CREATE OR REPLACE FUNCTION {schema}.trim(p_window bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  stored bigint := (SELECT t.stored FROM {schema}.tip() t);
  old record;
BEGIN
  FOR old IN
    SELECT s.number, lead(s.stored_before) OVER (ORDER BY s.number) AS stored FROM {schema}.segment s ORDER BY s.number
  LOOP
    EXIT WHEN old.stored IS NULL OR stored - old.stored < p_window;
    BEGIN
      EXECUTE format('LOCK TABLE {schema}.%I IN ACCESS EXCLUSIVE MODE NOWAIT', 'log_' || old.number);
      EXECUTE format('DROP TABLE {schema}.%I', 'log_' || old.number);
      DELETE FROM {schema}.segment s WHERE s.number = old.number;
    EXCEPTION WHEN lock_not_available THEN
      EXIT;
    END;
  END LOOP;
END $$;

-- Sets how far the commit is waited for.
CREATE OR REPLACE FUNCTION {schema}.wait_for_standbys(p_replicated boolean) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
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
CREATE OR REPLACE FUNCTION {schema}.store(
  p_window bigint, p_sender bytea, p_places bigint[],
  p_published bigint[], p_prints bytea[], p_origins bytea[], p_bytes bytea[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  tip record;
  newest bigint;
  target bigint;
BEGIN
  SELECT * INTO tip FROM {schema}.tip();
  target := tip.segment;
  newest := tip.stored - tip.stored_before;
  -- Eight segments or nine are a window. What an open transaction keeps beyond it makes the next ones
  -- larger, because an append looks for its batch in each of them.
  IF target IS NULL OR newest >= p_window / 8 AND newest >= (
    tip.stored - (SELECT min(s.stored_before) FROM {schema}.segment s) - p_window / 4) / 8
  THEN
    target := coalesce(target + 1, 0);
    PERFORM {schema}.begin_segment(target, tip.last + 1, tip.print, tip.published_ms, tip.stored);
  END IF;
  EXECUTE format(
    'INSERT INTO {schema}.%I (position, published_ms, stored, print, origin, sender, places, bytes) '
    'SELECT $1 + e.o, e.ms, $2 + sum(octet_length(e.bytes) + 256) OVER (ORDER BY e.o ROWS UNBOUNDED PRECEDING), e.print, e.origin, '
    'CASE e.o WHEN 1 THEN $3 END, CASE e.o WHEN 1 THEN $4 END, e.bytes '
    'FROM unnest($5, $6, $7, $8) WITH ORDINALITY AS e(ms, print, origin, bytes, o)', 'log_' || target)
    USING tip.last, tip.stored, p_sender, p_places, p_published, p_prints, p_origins, p_bytes;
  IF target <> tip.segment THEN
    PERFORM {schema}.trim(p_window);
  END IF;
  PERFORM pg_notify({name}, '');
END $$;

-- Takes a batch at the next positions, all or nothing. Arrays have an element for each item; p_keys is
-- NULL if no item has a key. 'ok', 'again', or why nothing was taken; a place below 0 is that of an
-- item which came before.
CREATE OR REPLACE FUNCTION {schema}.append(
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
  PERFORM {schema}.check_isolation();
  PERFORM {schema}.wait_for_standbys(p_replicated);
  SELECT h.epoch INTO head_epoch FROM {schema}.head h FOR UPDATE;
  IF NOT FOUND THEN
    answer := 'none'; last := 0;
    RETURN;
  END IF;
  SELECT * INTO tip FROM {schema}.tip();
  last := tip.last;
  IF head_epoch <> p_epoch THEN
    answer := 'epoch';
    RETURN;
  END IF;
  SELECT l.position, l.places INTO old FROM {schema}.log l WHERE l.sender = p_sender LIMIT 1;
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
    seen_print := CASE WHEN p_seen = tip.last THEN tip.print ELSE {schema}.print_at(p_seen) END;
    IF seen_print IS DISTINCT FROM p_print THEN
      answer := CASE WHEN seen_print IS NULL THEN 'behind' ELSE 'forked' END;
      RETURN;
    END IF;
  END IF;

  now_ms := greatest({schema}.now_ms(), tip.published_ms);
  IF p_keys IS NOT NULL THEN
    SELECT array_agg(f.position ORDER BY f.o), array_agg(f.first ORDER BY f.o) INTO known, first_of FROM (
      SELECT i.o, k.position, CASE WHEN i.key IS NOT NULL THEN min(i.o) OVER (PARTITION BY i.key) END AS first
        FROM unnest(p_keys) WITH ORDINALITY AS i(key, o)
        LEFT JOIN {schema}.key k ON k.key = i.key AND k.until_ms > now_ms
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
  PERFORM {schema}.store(
    p_window, p_sender, CASE WHEN fresh < items THEN places END,
    array_fill(now_ms, ARRAY[fresh]), prints, origins, bytes);
  IF p_keys IS NOT NULL THEN
    PERFORM {schema}.keep_keys(p_keys, p_ttls_ms, places, now_ms);
  END IF;
END $$;

-- Remembers the keys of entries: of those with a place above 0.
CREATE OR REPLACE FUNCTION {schema}.keep_keys(
  p_keys bytea[], p_ttls_ms bigint[], p_places bigint[], p_now_ms bigint
) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO {schema}.key (key, position, until_ms)
    SELECT DISTINCT ON (i.key) i.key, i.place, p_now_ms + i.ttl_ms
      FROM unnest(p_keys, p_ttls_ms, p_places) WITH ORDINALITY AS i(key, ttl_ms, place, o)
      WHERE i.key IS NOT NULL AND i.place > 0 ORDER BY i.key, i.o DESC
    ON CONFLICT (key) DO UPDATE SET position = excluded.position, until_ms = excluded.until_ms;
$$;

-- The print of the entry at a position, if it is in the window.
CREATE OR REPLACE FUNCTION {schema}.print_at(p_position bigint) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
  number bigint := (SELECT s.number FROM {schema}.segment s WHERE s.first <= p_position ORDER BY s.number DESC LIMIT 1);
  found bytea;
BEGIN
  IF number IS NOT NULL THEN
    EXECUTE format('SELECT print FROM {schema}.%I WHERE position = $1', 'log_' || number) INTO found USING p_position;
  END IF;
  RETURN found;
END $$;

-- Returns entries after p_after and up to p_upto, of at most p_bytes_max bytes or one; without any, one
-- row says where the line ends and where its window begins. Only reads, so a standby may answer.
CREATE OR REPLACE FUNCTION {schema}.read(p_after bigint, p_upto bigint, p_bytes_max bigint, p_entries_max bigint)
RETURNS TABLE (
  last bigint, oldest bigint, "position" bigint, published_ms bigint, origin bytea, print bytea, bytes bytea
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tip record;
  number bigint;
BEGIN
  SELECT * INTO tip FROM {schema}.tip();
  last := CASE WHEN EXISTS (SELECT FROM {schema}.head) THEN tip.last ELSE 0 END;
  SELECT coalesce(min(s.first), 1) INTO oldest FROM {schema}.segment s;
  IF p_after < last THEN
    SELECT s.number INTO number FROM {schema}.segment s WHERE s.first <= p_after + 1 ORDER BY s.number DESC LIMIT 1;
  END IF;
  IF number IS NOT NULL THEN
    BEGIN
      RETURN QUERY EXECUTE format(
        'WITH f AS (SELECT stored - octet_length(bytes) AS before FROM {schema}.%1$I WHERE position = $1 + 1) '
        'SELECT $5, $6, l.position, l.published_ms, l.origin, l.print, l.bytes FROM {schema}.%1$I l, f '
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
CREATE OR REPLACE FUNCTION {schema}.state(
  p_window bigint,
  OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM {schema}.check_isolation();
  PERFORM FROM {schema}.head h FOR UPDATE;
  IF FOUND THEN
    PERFORM {schema}.trim(p_window);
    PERFORM {schema}.remove_keys();
    PERFORM {schema}.remove_claims();
  END IF;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
END $$;

-- Removes keys whose life is over, so many at a time.
CREATE OR REPLACE FUNCTION {schema}.remove_keys() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  keys_max CONSTANT integer := 200000;
  now_ms CONSTANT bigint := {schema}.now_ms();
  from_ms bigint;
  to_ms bigint;
BEGIN
  SELECT r.until_ms INTO from_ms FROM {schema}.key_removed r;
  -- The clock of another server may be behind.
  IF from_ms IS NULL OR from_ms > now_ms THEN
    from_ms := 0;
  END IF;
  SELECT max(k.until_ms) INTO to_ms FROM (
    SELECT k.until_ms FROM {schema}.key k WHERE k.until_ms >= from_ms AND k.until_ms <= now_ms ORDER BY k.until_ms LIMIT keys_max
  ) k;
  IF to_ms IS NOT NULL THEN
    DELETE FROM {schema}.key k WHERE k.until_ms >= from_ms AND k.until_ms <= to_ms;
    UPDATE {schema}.key_removed SET until_ms = to_ms;
  END IF;
END $$;

-- Puts entries back as they were, if the line ends where it is expected to; on an empty engine, where
-- p_last is NULL, with epoch and secret. 'done', 'moved' or 'hole'.
CREATE OR REPLACE FUNCTION {schema}.restore(
  p_epoch text, p_secret bytea, p_last bigint, p_print bytea, p_first bigint, p_window bigint, p_replicated boolean,
  p_published bigint[], p_prints bytea[], p_origins bytea[], p_keys bytea[], p_ttls_ms bigint[], p_bytes bytea[],
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM {schema}.check_isolation();
  PERFORM {schema}.wait_for_standbys(p_replicated);
  IF p_last IS NULL THEN
    SELECT l.state INTO state FROM {schema}.line() l;
    answer := 'moved';
    IF state = 'none' THEN
      INSERT INTO {schema}.head (epoch, secret) VALUES (p_epoch, p_secret) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        answer := 'done';
      END IF;
    END IF;
  ELSE
    PERFORM FROM {schema}.head h FOR UPDATE;
    SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
    IF state <> 'line' OR epoch <> p_epoch OR last <> p_last OR print IS DISTINCT FROM p_print THEN
      answer := 'moved';
    ELSIF p_first <> last + 1 THEN
      answer := 'hole';
    ELSE
      answer := 'done';
    END IF;
  END IF;
  IF answer = 'done' THEN
    IF (SELECT t.segment FROM {schema}.tip() t) IS NULL THEN
      PERFORM {schema}.begin_segment(0, p_first, p_print, 0, 0);
    END IF;
    PERFORM {schema}.store(p_window, NULL, NULL, p_published, p_prints, p_origins, p_bytes);
    PERFORM {schema}.keep_keys(
      p_keys, p_ttls_ms, ARRAY(SELECT generate_series(p_first, p_first + cardinality(p_bytes) - 1)), {schema}.now_ms());
  END IF;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
END $$;

-- Gives the line a new epoch, by compare-and-set; with an epoch of NULL it only compares.
CREATE OR REPLACE FUNCTION {schema}.bump(
  p_epoch text, p_last bigint, p_new text,
  OUT answer text, OUT state text, OUT epoch text, OUT last bigint, OUT print bytea, OUT secret bytea, OUT oldest bigint
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  PERFORM {schema}.check_isolation();
  PERFORM FROM {schema}.head h FOR UPDATE;
  SELECT l.* INTO state, epoch, last, print, secret, oldest FROM {schema}.line() l;
  answer := 'moved';
  IF state = 'line' AND epoch = p_epoch AND last = p_last THEN
    answer := 'done';
    IF p_new IS NOT NULL THEN
      UPDATE {schema}.head SET epoch = p_new;
    END IF;
  END IF;
END $$;
