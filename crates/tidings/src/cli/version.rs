//! What `tidings -V` prints: the version and, in a release build of a checkout, the commit.

/// The version, such as `0.1.0 (1a2b3c4d5e, 2026-11-29)`. The build script says where it comes from.
pub const TEXT: &str = match option_env!("TIDINGS_BUILT_FROM") {
    Some(text) => text,
    None => env!("CARGO_PKG_VERSION"),
};
