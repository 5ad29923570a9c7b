//! The engine for the contract suite, and its faults: what would be there if they had happened.

use redis::{Connection, Value};
use tidings_cluster::engine::Engine;
use tidings_contract::{Fault, Possible, Rig, Step};
use tidings_redis::{Options, Redis};

use super::{moment, name};

/// An engine on some servers, one name after the other.
pub(crate) struct RedisRig<'a> {
    options: Options,
    /// A connection to whoever has a key.
    connection: Box<dyn Fn(&str) -> Connection + 'a>,
    lines: u32,
}

impl<'a> RedisRig<'a> {
    pub(crate) fn new(options: Options, connection: impl Fn(&str) -> Connection + 'a) -> Self {
        Self {
            options,
            connection: Box::new(connection),
            lines: 0,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{{t:{}}}:{name}", self.options.name)
    }
}

impl Rig for RedisRig<'_> {
    fn fresh(&mut self) {
        self.lines += 1;
        self.options.name = name(&format!("line-{}", self.lines));
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Redis::new(self.options.clone()))
    }

    fn fault(&self, fault: Fault) -> Step<'_, Possible> {
        let (script, number) = match fault {
            Fault::LoseTail { last } => (LOSE_TAIL, last.get()),
            Fault::LoseEverything => (LOSE_EVERYTHING, 0),
            Fault::LoseHead => ("redis.call('DEL', KEYS[1])", 0),
            Fault::EndBehind { entries } => (END_BEHIND, entries),
            Fault::Trim { oldest } => (TRIM, oldest.get()),
        };
        let (head, log) = (self.key("head"), self.key("log"));
        let mut connection = (self.connection)(&head);
        let mut eval = redis::cmd("EVAL");
        eval.arg(script).arg(2).arg(&head).arg(&log).arg(number);
        eval.arg(format!("{}*", self.key("")));
        let _nothing: Value = eval.query(&mut connection).unwrap();
        Box::pin(std::future::ready(Possible::Yes))
    }

    fn moment(&self) -> Step<'_, ()> {
        Box::pin(moment())
    }
}

const LOSE_EVERYTHING: &str = "
    for _, key in ipairs(redis.call('KEYS', ARGV[2])) do redis.call('DEL', key) end";

/// As an older snapshot of the server would be.
const LOSE_TAIL: &str = "
    local head = redis.call('HGETALL', KEYS[1])
    local kept = redis.call('XRANGE', KEYS[2], '-', ARGV[1] .. '-0')
    for _, key in ipairs(redis.call('KEYS', ARGV[2])) do redis.call('DEL', key) end
    redis.call('HSET', KEYS[1], unpack(head))
    for _, entry in ipairs(kept) do redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) end
    local print, ms = string.match(kept[#kept][2][2], '^1 (%x+) (%d+) ')
    redis.call('HSET', KEYS[1], 'n', ARGV[1], 'f', print, 't', ms, 'b', '0', 'm', '0')";

/// As after an append whose script died: the log has more than the head knows.
const END_BEHIND: &str = "
    local n = string.format('%.0f', redis.call('HGET', KEYS[1], 'n') - ARGV[1])
    local at = redis.call('XRANGE', KEYS[2], n .. '-0', n .. '-0')[1]
    local print, ms = string.match(at[2][2], '^1 (%x+) (%d+) ')
    redis.call('HSET', KEYS[1], 'n', n, 'f', print, 't', ms)";

const TRIM: &str = "redis.call('XTRIM', KEYS[2], 'MINID', ARGV[1] .. '-0')";
