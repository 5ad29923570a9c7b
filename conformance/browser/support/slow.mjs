// Whether tests run in their slow form, as `cargo xtask test --all --slow` asks.
export const SLOW = process.env.RUN_SLOW_TESTS === "1";
