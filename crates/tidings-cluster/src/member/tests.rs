//! A member against a scripted engine.
