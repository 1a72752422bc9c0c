//! Ids, and where a saga lives: its slot and its shard.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// How many slots there are. Stored with each saga, and what others route by: never changes.
pub const SLOTS: u32 = 64;

/// The id of a saga, and of the order that it runs. Printed in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SagaId(Uuid);

/// The bytes of the text of an id.
pub const ID_BYTES: usize = 36;

/// The text is not 8-4-4-4-12 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in the form 8-4-4-4-12 of hexadecimal digits")]
pub struct InvalidUuid;

/// Reads a UUID in its one accepted form, 8-4-4-4-12 hexadecimal digits in any case.
///
/// # Errors
/// Every other form (braces, `urn:`, no hyphens, spaces) is [`InvalidUuid`].
pub fn parse_uuid(text: &str) -> Result<Uuid, InvalidUuid> {
    if text.len() != 36 {
        return Err(InvalidUuid);
    }
    Uuid::try_parse(text).map_err(|_| InvalidUuid)
}

impl SagaId {
    /// The slot of this saga: Kafka's own murmur2 of the lower-case id, modulo [`SLOTS`].
    pub fn slot(self) -> Slot {
        Slot(partition_of(self.encode(&mut [0; ID_BYTES]).as_bytes(), SLOTS) as u8) // below 64
    }

    /// The text that [`fmt::Display`] prints, in `room`: there are several in each message of a saga.
    pub fn encode(self, room: &mut [u8; ID_BYTES]) -> &str {
        self.0.hyphenated().encode_lower(room)
    }

    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SagaId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for SagaId {
    type Err = InvalidUuid;
    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        parse_uuid(text).map(Self)
    }
}

impl TryFrom<String> for SagaId {
    type Error = InvalidUuid;
    fn try_from(text: String) -> Result<Self, InvalidUuid> {
        text.parse()
    }
}

impl Serialize for SagaId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.encode(&mut [0; ID_BYTES]))
    }
}

impl From<SagaId> for String {
    fn from(id: SagaId) -> String {
        id.to_string()
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of the [`SLOTS`] into which all sagas fall.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u8);

impl Slot {
    /// The number, 0 to 63.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The shard of this slot where there are `shards` of them (a divisor of 64). It is also the
    /// partition of any topic with that many partitions on which this saga's messages travel.
    pub fn shard(self, shards: ShardCount) -> ShardId {
        ShardId(u16::from(self.0) % shards.0)
    }
}

/// A part of all sagas that one instance owns at a time; also a partition of `saga.replies`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards there are: a power of two from 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardCount(u16);

impl ShardCount {
    /// `None` unless `n` is one of 1, 2, 4, 8, 16, 32, 64.
    pub fn new(n: u16) -> Option<Self> {
        (n.is_power_of_two() && u32::from(n) <= SLOTS).then_some(Self(n))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// All shards, in order.
    pub fn all(self) -> impl Iterator<Item = ShardId> {
        (0..self.0).map(ShardId)
    }
}

/// Where Kafka's default partitioner puts a key among so many partitions (at least one).
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// MurmurHash2 (32 bit, seed 0x9747b28c) as Kafka's default partitioner computes it, so that a key
/// lands where every Kafka client would put it (Apache Kafka, `Utils.murmur2`).
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Apache Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        let vectors: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (text, hash) in vectors {
            assert_eq!(murmur2(text) as i32, hash);
        }
    }

    #[test]
    fn its_texts_are_the_same() {
        for bits in [0, 1, u128::MAX, 0x0192_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b, u128::MAX << 64] {
            let id = SagaId::from(Uuid::from_u128(bits));
            let text = id.uuid().to_string();
            assert_eq!(id.encode(&mut [0xff; ID_BYTES]), text);
            assert_eq!((id.to_string(), String::from(id)), (text.clone(), text.clone()));
            assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<SagaId>(&format!("\"{text}\"")).unwrap(), id);
        }
    }

    #[test]
    fn one_form_of_uuid_is_read() {
        let id: SagaId = "AAAAAAAA-aaaa-AAAA-aaaa-aaaaaaaaaaaa".parse().unwrap();
        assert_eq!(id.to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
        for bad in [
            "",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "{aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa}",
            "urn:uuid:aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
            "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaa",
            "gaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
            "aaaaaaaaa-aaa-aaaa-aaaa-aaaaaaaaaaaa",
        ] {
            assert_eq!(bad.parse::<SagaId>(), Err(InvalidUuid), "{bad}");
        }
    }

    #[test]
    fn shards_divide_slots() {
        assert!(ShardCount::new(3).is_none() && ShardCount::new(128).is_none());
        let four = ShardCount::new(4).unwrap();
        for slot in (0..64).map(Slot) {
            assert_eq!(slot.shard(four).0, u16::from(slot.get()) % 4);
        }
    }
}
