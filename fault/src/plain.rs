//! The answers of a plain build: "no", known when it is compiled.

use std::io;

use crate::{Bug, File, Point, Trigger};

/// Never.
#[inline]
pub const fn armed(_: Bug) -> bool {
    false
}

/// Goes on.
#[inline]
pub const fn reach(_: Point) {}

/// The clock is as right as the machine's.
#[inline]
pub const fn clock_offset_ms() -> i64 {
    0
}

/// Nobody asks.
#[inline]
pub const fn wall_ms() -> i64 {
    0
}

/// Leaves the order alone.
#[inline]
pub const fn shuffle<T>(_: &mut [T]) {}

/// The disk does what it can.
#[inline]
pub const fn disk_call(_: File) -> io::Result<()> {
    Ok(())
}

/// There is no randomness to seed.
#[inline]
pub const fn seed() -> u64 {
    0
}

/// Forgets the hook.
#[inline]
pub fn on_trigger(_: Trigger, _: impl Fn() -> Result<(), String> + Send + 'static) {}

/// There is nothing to start.
#[inline]
pub const fn start() -> Result<(), String> {
    Ok(())
}

/// There is nothing to listen to.
#[inline]
pub const fn listen() -> Result<(), String> {
    Ok(())
}
