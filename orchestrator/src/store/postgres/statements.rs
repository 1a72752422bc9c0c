//! The statements of the engine, in Postgres' own words. All run in READ COMMITTED: one that has waited for a lock
//! looks at the row again as it is then.

/// Microseconds since 1970, when it is evaluated, not when the statement began.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// `$1` instance, `$2` lease.
pub const HEARTBEAT: &str = concat!(
    "WITH clock AS MATERIALIZED (SELECT ",
    now!(),
    " AS now),
    alive AS (
        INSERT INTO instance (id, alive_until) SELECT $1, now + $2 FROM clock
        ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until
    ),
    gone AS (
        DELETE FROM instance WHERE id IN (
            SELECT i.id FROM instance i, clock WHERE i.alive_until <= now AND i.id <> $1 FOR UPDATE OF i SKIP LOCKED
        )
    ),
    own AS (SELECT id FROM shard WHERE owner = $1 ORDER BY id FOR UPDATE),
    renewed AS (UPDATE shard s SET lease_until = now + $2 FROM own, clock WHERE s.id = own.id AND s.owner = $1)
    SELECT now FROM clock"
);

/// `$1` shard, `$2` instance, `$3` lease. The row's lock makes it wait for a commit of the former owner.
pub const TAKE_SHARD: &str = concat!(
    "UPDATE shard SET owner = $2, epoch = epoch + 1, lease_until = ",
    now!(),
    " + $3 WHERE id = $1 AND (owner IS NULL OR owner = $2 OR lease_until <= ",
    now!(),
    ") RETURNING epoch, last_seq, published, reply_offset, live_from, ",
    now!()
);

/// `$1` shard, `$2` epoch.
pub const RELEASE_SHARD: &str = "UPDATE shard SET owner = NULL, lease_until = 0 WHERE id = $1 AND epoch = $2";

/// `$1` instance.
pub const LEAVE: &str = "
    WITH own AS (SELECT id FROM shard WHERE owner = $1 ORDER BY id FOR UPDATE),
    freed AS (UPDATE shard s SET owner = NULL, lease_until = 0 FROM own WHERE s.id = own.id AND s.owner = $1)
    DELETE FROM instance WHERE id = $1";

/// Everything that decides whether a batch is stored. Each part is evaluated only if those before it hold: the fence,
/// the requests that are still pending, the keys that nobody has taken. One row tells what was found; unless it is all
/// that was asked for, the transaction is rolled back.
///
/// `$1`–`$7` shards ([`super::columns::marks`]), `$8`–`$11` answers, `$12`–`$17` keys.
pub const DECIDE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT id, epoch, last_seq, live_from FROM shard WHERE id = ANY($1) ORDER BY id FOR UPDATE
    ),
    fence AS (
        UPDATE shard s
        SET last_seq = m.last_seq, published = m.published, reply_offset = m.reply_offset, untaken = m.untaken,
            live_from = m.live_from
        FROM unnest($1::int2[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::text[], $7::uuid[])
            AS m(id, epoch, last_seq, published, reply_offset, untaken, live_from)
        JOIN locked l ON l.id = m.id AND l.epoch = m.epoch
        WHERE s.id = m.id AND s.epoch = m.epoch
        RETURNING s.id
    ),
    answered AS (
        UPDATE admin_request r SET status = a.status, code = a.code, detail = a.detail
        FROM unnest($8::uuid[], $9::text[], $10::text[], $11::text[]) AS a(id, status, code, detail)
        WHERE r.id = a.id AND r.status = 'PENDING' AND (SELECT count(*) FROM fence) = cardinality($1)
        RETURNING r.id
    ),
    stored AS (
        INSERT INTO idempotency (caller, path, key, fingerprint, saga_id, at)
        SELECT k.* FROM unnest($12::text[], $13::text[], $14::text[], $15::text[], $16::uuid[], $17::int8[]) AS k
        WHERE (SELECT count(*) FROM fence) = cardinality($1) AND (SELECT count(*) FROM answered) = cardinality($8)
        ON CONFLICT (caller, path, key) DO NOTHING
        RETURNING caller, path, key
    )
    SELECT
        (SELECT array_agg(id) FROM locked), (SELECT array_agg(epoch) FROM locked),
        (SELECT array_agg(last_seq) FROM locked), (SELECT array_agg(id) FROM answered),
        (SELECT array_agg(caller) FROM stored), (SELECT array_agg(path) FROM stored),
        (SELECT array_agg(key) FROM stored), (SELECT array_agg(live_from) FROM locked)";

/// Everything else of a batch. Answers how many sagas were updated.
///
/// `$1`–`$19` new sagas, `$20`–`$31` changed ones, `$32` lingering ones, `$33`–`$43` history, `$44`–`$55` dead letters,
/// each in the order of [`super::columns`]. The arrays are taken apart in lists of columns: in a FROM, each would first go
/// into a store of its own, which takes thrice as long.
pub const STORE: &str = r#"
    WITH inserted AS (
        INSERT INTO saga (id, slot, definition_id, user_id, business_key, input, state, status, order_status, active,
            held, step, error_code, revision, created_at, updated_at, wake_at, traceparent, lingering)
        SELECT unnest($1::uuid[]), unnest($2::int2[]), unnest($3::int8[]), unnest($4::uuid[]),
            unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
            unnest($9::text[]), unnest($10::bool[]), unnest($11::bool[]), unnest($12::text[]),
            unnest($13::text[]), unnest($14::int4[]), unnest($15::int8[]), unnest($16::int8[]),
            unnest($17::int8[]), unnest($18::text[]), unnest($19::bool[])
    ),
    updated AS (
        UPDATE saga s
        SET state = u.state, status = u.status, order_status = u.order_status, active = u.active, held = u.held,
            step = u.step, error_code = u.error_code, revision = u.revision, updated_at = u.updated_at,
            wake_at = u.wake_at, lingering = u.lingering
        FROM (SELECT unnest($20::uuid[]) AS id, unnest($21::text[]) AS state, unnest($22::text[]) AS status,
            unnest($23::text[]) AS order_status, unnest($24::bool[]) AS active,
            unnest($25::bool[]) AS held, unnest($26::text[]) AS step, unnest($27::text[]) AS error_code,
            unnest($28::int4[]) AS revision, unnest($29::int8[]) AS updated_at,
            unnest($30::int8[]) AS wake_at, unnest($31::bool[]) AS lingering) AS u
        WHERE s.id = u.id
        RETURNING 1
    ),
    flagged AS (
        UPDATE saga s SET lingering = true FROM (SELECT unnest($32::uuid[]) AS id) AS f WHERE s.id = f.id
    ),
    rows AS (
        INSERT INTO history (saga_id, seq, shard, shard_seq, at, type, step, round, attempt, data, actor)
        SELECT unnest($33::uuid[]), unnest($34::int4[]), unnest($35::int2[]), unnest($36::int8[]),
            unnest($37::int8[]), unnest($38::text[]), unnest($39::int2[]), unnest($40::int4[]),
            unnest($41::int4[]), unnest($42::text[]), unnest($43::text[])
    ),
    letters AS (
        INSERT INTO dead_letter (id, topic, partition, "offset", key, value, headers, code, detail, saga_id, at, status)
        SELECT unnest($44::uuid[]), unnest($45::text[]), unnest($46::int4[]), unnest($47::int8[]),
            unnest($48::bytea[]), unnest($49::bytea[]), unnest($50::text[]), unnest($51::text[]),
            unnest($52::text[]), unnest($53::uuid[]), unnest($54::int8[]), unnest($55::text[])
        ON CONFLICT (topic, partition, "offset") DO NOTHING
    )
    SELECT count(*) FROM updated"#;
