//! What `tidings -V` prints: the version and, in what `cargo xtask release` builds, the commit.

/// The version, such as `0.1.0 (1a2b3c4d5e, 2026-11-29)`.
///
/// A build by cargo alone knows no commit: a build script that asked git would run after every commit.
pub const TEXT: &str = match option_env!("TIDINGS_BUILT_FROM") {
    Some(text) => text,
    None => env!("CARGO_PKG_VERSION"),
};
