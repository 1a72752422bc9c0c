//! Ids and secrets at random, from a generator that the system seeds.

use uuid::Uuid;

use crate::engine::Ids;

/// Random ids.
#[derive(Debug)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> u128 {
        // A version 4 UUID has 122 random bits; two of them fill the rest.
        Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64)
    }
}

/// A name that no other process has.
pub fn instance_name() -> String {
    format!("{}-{}", std::process::id(), Uuid::new_v4().simple())
}
