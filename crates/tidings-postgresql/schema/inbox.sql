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

CREATE TABLE IF NOT EXISTS {schema}.inbox (
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
CREATE TABLE IF NOT EXISTS {schema}.inbox_refused (
    id bigint NOT NULL,
    key uuid NOT NULL,
    at timestamptz NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    topics text[] NOT NULL,
    data text NOT NULL,
    private boolean NOT NULL,
    event_id text,
    type text,
    retry bigint,
    PRIMARY KEY (id, key)
);
-- Up to now by ids alone, which are given out again once somebody has set the sequence back: that row stopped all.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.conrelid = ({schema_text} || '.inbox_refused')::regclass AND c.contype = 'p' AND cardinality(c.conkey) = 1
    ) THEN
        ALTER TABLE {schema}.inbox_refused DROP CONSTRAINT inbox_refused_pkey, ADD PRIMARY KEY (id, key);
    END IF;
END
$$;

-- Limits that depend on the hub's configuration. The hubs write them at their start.
CREATE TABLE IF NOT EXISTS {schema}.inbox_limits (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    body_bytes_max bigint NOT NULL DEFAULT 1048576,
    -- The path of the hub's URL, below which only the hub publishes.
    hub_path text NOT NULL DEFAULT '/.well-known/mercure'
);
INSERT INTO {schema}.inbox_limits DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Returns the first control or format character of a name; null if it has none. Unicode 16, category Cf.
CREATE OR REPLACE FUNCTION {schema}.forbidden_character(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substring(name FROM '[\u0001-\u001F\u007F-\u009F\u00AD\u0600-\u0605\u061C\u06DD\u070F\u0890\u0891\u08E2\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\uFFF9-\uFFFB\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0001\U000E0020-\U000E007F]')
$$;

-- Refuses what a hub would refuse, with an error that says what to change.
CREATE OR REPLACE FUNCTION {schema}.check_name(what text, name text, bytes_max int) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    found text := {schema}.forbidden_character(name);
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
CREATE OR REPLACE FUNCTION {schema}.publish(
    topics text[], data text DEFAULT '', private boolean DEFAULT false, id text DEFAULT NULL,
    type text DEFAULT NULL, retry bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- First: whoever reads the sequence and then takes a snapshot must find this transaction in it. See
    -- inbox_next().
    transaction constant xid8 := pg_current_xact_id();
    limits {schema}.inbox_limits;
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
    SELECT * INTO limits FROM {schema}.inbox_limits;
    FOREACH name IN ARRAY topics LOOP
        PERFORM {schema}.check_topic(name, limits.hub_path);
    END LOOP;
    -- An empty id and an empty type mean the same as none.
    id := nullif(id, '');
    type := nullif(type, '');
    PERFORM {schema}.check_id(id);
    PERFORM {schema}.check_type(type);
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
    INSERT INTO {schema}.inbox (topics, data, private, event_id, type, retry)
    VALUES (publish.topics, publish.data, publish.private, publish.id, publish.type, publish.retry);
END
$$;

CREATE OR REPLACE FUNCTION {schema}.publish(
    topic text, data text DEFAULT '', private boolean DEFAULT false, id text DEFAULT NULL,
    type text DEFAULT NULL, retry bigint DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM {schema}.publish(ARRAY[topic], data, private, id, type, retry);
END
$$;

CREATE OR REPLACE FUNCTION {schema}.check_topic(topic text, hub_path text) RETURNS void
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
    PERFORM {schema}.check_name('a topic', topic, 4096);
    -- The hub compares after resolving, and refuses what is spelled in another way.
    IF path = hub_path OR starts_with(path, hub_path || '/') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('topic %L is inside %s, which is reserved for what the hub publishes itself', left(topic, 100), hub_path),
            HINT = 'Choose another path.';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION {schema}.check_id(id text) RETURNS void
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
    PERFORM {schema}.check_name('an event id', id, 1024);
END
$$;

CREATE OR REPLACE FUNCTION {schema}.check_type(type text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF type = 'mercure' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the event type ''mercure'' is reserved for the hub',
            HINT = 'Choose another name, or leave type out.';
    END IF;
    PERFORM {schema}.check_name('an event type', type, 256);
END
$$;

-- Which numbering of ids it is: that of one start of one server, until the ids begin anew there. Behind a pooler a
-- hub may be led to another server, where what it knows does not hold: of ids, and of what the log has.
CREATE OR REPLACE FUNCTION {schema}.inbox_numbering() RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT extract(epoch FROM pg_postmaster_start_time()) || ' '
        || pg_relation_filenode(pg_get_serial_sequence({schema_text} || '.inbox', 'id')::regclass)
$$;

-- For the hub that has the turn: removes the rows `done`, and returns the next ones in the order of ids, without
-- those of `busy`, at most `rows_max` and `bytes_max`, or one row that is larger. Rows are named by their keys, since
-- ids are given out again after a failover that lost something; `done_ids` is where the rows `done` are looked for.
-- The first columns are the same in each row, and there is one row with a null id if nothing waits:
--   numbering  what the ids belong to
--   last       no greater id had been given out before the look
--   newest     with `mark`, a transaction that began after those that had been given these ids
--   oldest     all transactions before it have ended
-- Once `oldest` of a look has reached the `newest` of an earlier one, no row with an id up to its `last` comes
-- any more. Then `after` may be that, so that a look does not go through the removed rows that somebody's long
-- transaction keeps from being vacuumed. It counts if `known` is the numbering, and nothing is removed else; nor does
-- it if somebody has set the sequence back, so that rows below it come.
CREATE OR REPLACE FUNCTION {schema}.inbox_next(
    done_ids bigint[], done uuid[], busy uuid[], known text, after bigint, rows_max int, bytes_max bigint, mark boolean
) RETURNS TABLE (
    numbering text, last bigint, newest bigint, oldest bigint, id bigint, key bytea, waited_ms bigint, topics text[],
    data text, private boolean, event_id text, type text, retry bigint
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
    -- The order of the primary key, whatever the statistics of a table say that is empty most of the time.
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    this constant text := {schema}.inbox_numbering();
    -- In this order, and before the statement below takes its snapshot. publish() has its transaction before its id.
    given constant bigint := coalesce(pg_sequence_last_value(pg_get_serial_sequence({schema_text} || '.inbox', 'id')), 0);
    marked constant bigint := CASE WHEN mark THEN pg_current_xact_id()::text::bigint END;
    above constant bigint := CASE WHEN known = this AND after <= given THEN after ELSE 0 END;
BEGIN
    PERFORM {schema}.check_isolation();
    IF cardinality(done) > 0 AND known = this THEN
        DELETE FROM {schema}.inbox AS i USING unnest(done_ids, done) AS d(id, key) WHERE i.id = d.id AND i.key = d.key;
    END IF;
    RETURN QUERY
    WITH first_rows AS MATERIALIZED (
        SELECT i.* FROM {schema}.inbox AS i
        -- A set of rows that is searched by hashes, unlike an array.
        WHERE i.id > above AND i.key NOT IN (SELECT unnest(busy))
        ORDER BY i.id LIMIT rows_max
    ), counted AS (
        SELECT r.*, sum(octet_length(r.data) + pg_column_size(r.topics)) OVER (ORDER BY r.id) AS bytes,
            min(r.id) OVER () AS head
        FROM first_rows AS r
    )
    SELECT this, given, marked, pg_snapshot_xmin(s.now)::text::bigint,
        c.id, uuid_send(c.key), (extract(epoch FROM clock_timestamp() - c.at) * 1000)::bigint, c.topics, c.data,
        c.private, c.event_id, c.type, c.retry
    FROM (SELECT pg_current_snapshot() AS now) AS s
    LEFT JOIN counted AS c ON c.bytes <= bytes_max OR c.id = c.head
    ORDER BY c.id;
END
$$;

-- Removes rows that were published: those of the keys, which have these ids, if `known` is the numbering.
CREATE OR REPLACE FUNCTION {schema}.inbox_done(known text, ids bigint[], keys uuid[]) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    DELETE FROM {schema}.inbox AS i USING unnest(ids, keys) AS d(id, key)
    WHERE i.id = d.id AND i.key = d.key AND known = {schema}.inbox_numbering()
$$;

-- Moves a row that the hub refuses out of the way, with the reason.
CREATE OR REPLACE FUNCTION {schema}.inbox_refuse(refused bigint, refused_key uuid, why text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    WITH moved AS (DELETE FROM {schema}.inbox AS i WHERE i.id = refused AND i.key = refused_key RETURNING i.*)
    INSERT INTO {schema}.inbox_refused (id, key, at, reason, topics, data, private, event_id, type, retry)
    SELECT id, key, at, why, topics, data, private, event_id, type, retry FROM moved
$$;

-- What hubs of an earlier build call, which name rows by their ids: they go on until they are upgraded.
CREATE OR REPLACE FUNCTION {schema}.inbox_next(
    done bigint[], after bigint, busy bigint[], rows_max int, bytes_max bigint, mark boolean
) RETURNS TABLE (
    last bigint, newest bigint, oldest bigint, id bigint, key bytea, waited_ms bigint, topics text[],
    data text, private boolean, event_id text, type text, retry bigint
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    IF cardinality(done) > 0 THEN
        DELETE FROM {schema}.inbox AS i WHERE i.id = ANY (done);
    END IF;
    RETURN QUERY
    SELECT n.last, n.newest, n.oldest, n.id, n.key, n.waited_ms, n.topics, n.data, n.private, n.event_id, n.type, n.retry
    FROM {schema}.inbox_next('{}', '{}', ARRAY(SELECT i.key FROM {schema}.inbox AS i WHERE i.id = ANY (busy)),
        {schema}.inbox_numbering(), after, rows_max, bytes_max, mark) AS n
    ORDER BY n.id;
END
$$;

CREATE OR REPLACE FUNCTION {schema}.inbox_done(ids bigint[]) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    DELETE FROM {schema}.inbox WHERE id = ANY (ids)
$$;

CREATE OR REPLACE FUNCTION {schema}.inbox_refuse(refused bigint, why text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    SELECT {schema}.inbox_refuse(i.id, i.key, why) FROM {schema}.inbox AS i WHERE i.id = refused
$$;

-- Returns how many rows wait, counted up to `most`, since how many milliseconds the oldest of those, and how
-- many were refused.
CREATE OR REPLACE FUNCTION {schema}.inbox_state(after bigint, most int, OUT waiting bigint, OUT waits_ms bigint, OUT refused bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    SELECT count(*), coalesce((extract(epoch FROM clock_timestamp() - min(i.at)) * 1000)::bigint, 0),
        (SELECT count(*) FROM {schema}.inbox_refused)
    FROM (SELECT b.at FROM {schema}.inbox AS b WHERE b.id > after ORDER BY b.id LIMIT most) AS i
$$;

-- Writes the limits of the hub's configuration, if they differ.
CREATE OR REPLACE FUNCTION {schema}.inbox_limit(body_bytes_max bigint, hub_path text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    UPDATE {schema}.inbox_limits AS l
    SET body_bytes_max = inbox_limit.body_bytes_max, hub_path = inbox_limit.hub_path
    WHERE (l.body_bytes_max, l.hub_path) IS DISTINCT FROM (inbox_limit.body_bytes_max, inbox_limit.hub_path)
$$;

-- SipHash-2-4 of whole words of eight bytes, little endian; https://www.aumasson.jp/siphash. The ids of the hub
-- are made with it. A bigint is a word: its bits count and not its sign.
CREATE OR REPLACE FUNCTION {schema}.siphash(key bytea, words bigint[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    half constant bigint := 4294967295;
    k0 constant bigint := {schema}.little_endian(key, 0);
    k1 constant bigint := {schema}.little_endian(key, 8);
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
CREATE OR REPLACE FUNCTION {schema}.little_endian(bytes bytea, at int) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT bit_or(get_byte(bytes, at + i)::bigint << (8 * i)) FROM generate_series(0, 7) AS i
$$;

-- Returns the event id of the entry at a position with a print, as a hub makes it (crates/tidings-core, id_seal).
CREATE OR REPLACE FUNCTION {schema}.event_id(secret bytea, place bigint, print bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    tag constant bigint := {schema}.siphash(substring(secret FROM 1 FOR 16),
        ARRAY[place, {schema}.little_endian(print, 0), {schema}.little_endian(print, 8)]) & x'03ffffffffffffff'::bigint;
    masked constant bigint := place # {schema}.siphash(substring(secret FROM 17 FOR 16), ARRAY[tag]);
    -- 48 bits of the tag, version 8, 10 bits of the tag, 2 of the masked position; the variant and 62 bits of that.
    high constant bigint := ((tag >> 10) << 16) | x'8000'::bigint | ((tag & 1023) << 2) | ((masked >> 62) & 3);
    low constant bigint := (masked & x'3fffffffffffffff'::bigint) | x'8000000000000000'::bigint;
BEGIN
    RETURN 'urn:uuid:' || (lpad(to_hex(high), 16, '0') || lpad(to_hex(low), 16, '0'))::uuid;
END
$$;

-- Returns the event id from which a subscriber gets everything that the caller's snapshot does not see. In READ
-- COMMITTED each statement has a snapshot of its own: call it in the statement that reads the state, or before.
CREATE OR REPLACE FUNCTION {schema}.position() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(
        (SELECT {schema}.event_id(h.secret, t.last, t.print) FROM {schema}.head AS h, {schema}.tip() AS t
         WHERE t.print IS NOT NULL),
        'earliest');
EXCEPTION
    -- The newest entry that this snapshot sees has left the window.
    WHEN undefined_table THEN RETURN 'earliest';
END
$$;
