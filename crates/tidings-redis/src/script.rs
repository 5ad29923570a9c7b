//! The scripts: each is run by its digest, and by its text where the server does not know it.

use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs};

/// A script and its digest.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    sha: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self {
            text,
            sha: sha1_smol::Sha1::from(text).digest().to_string(),
        }
    }
}

pub(crate) static INIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/line.lua"),
        include_str!("scripts/init.lua")
    ))
});
pub(crate) static STATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/line.lua"),
        include_str!("scripts/state.lua")
    ))
});
pub(crate) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/link.lua"),
        include_str!("scripts/window.lua"),
        include_str!("scripts/append.lua")
    ))
});
pub(crate) static RESTORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/line.lua"),
        include_str!("scripts/window.lua"),
        include_str!("scripts/restore.lua")
    ))
});
pub(crate) static REPAIR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/line.lua"),
        include_str!("scripts/window.lua"),
        include_str!("scripts/repair.lua")
    ))
});
pub(crate) static BUMP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/line.lua"),
        include_str!("scripts/bump.lua")
    ))
});
pub(crate) static REACH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/reach.lua")));
pub(crate) static LEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/lease.lua")));
pub(crate) static LEASES: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/leases.lua")));
pub(crate) static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/claim.lua")));
pub(crate) static HOLD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/hold.lua")));

/// A call of a script: its keys, then its arguments.
#[derive(Debug)]
pub(crate) struct Run {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Run {
    pub(crate) fn new(script: &'static Script) -> Self {
        Self {
            script,
            keys: Vec::new(),
            arguments: Vec::new(),
        }
    }

    pub(crate) fn key(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.keys.push(key.into());
        self
    }

    pub(crate) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    /// Returns the command that names the script by its digest.
    pub(crate) fn by_digest(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha)
    }

    /// Returns the command that has the script, after which the server knows it.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        command.arg(&self.keys).arg(&self.arguments);
        command
    }
}
