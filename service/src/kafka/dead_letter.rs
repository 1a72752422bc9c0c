//! Dead letters: a message that could not be read, kept as it was, with where it came from and why.

use saga_model::Micros;

use super::config::MAX_PRODUCED_BYTES;
use crate::headers::Headers;

/// Where a message was read and what is wrong with it: what the `dl_` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagnosis<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub code: &'a str,
    pub detail: &'a str,
    pub at: Micros,
}

/// A message for `saga.dead-letters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub key: Option<Vec<u8>>,
    /// `None` for a message that had none (a tombstone).
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

impl DeadLetter {
    /// The dead letter of a message: its key, value and headers as they were, and `dl_` headers after them.
    ///
    /// A message that our producers could not send on (a compressed one can be larger than any limit once it is
    /// unpacked) is cut, and `dl_detail` says so: no message may stop its partition.
    pub fn new(diagnosis: &Diagnosis<'_>, key: Option<Vec<u8>>, value: Option<Vec<u8>>, headers: Headers) -> Self {
        let mut letter = Self { key, value, headers };
        let mut detail = diagnosis.detail.to_owned();
        let whole = letter.size();
        if letter.cut_to(MAX_PRODUCED_BYTES - ROOM_FOR_OURS) {
            detail = format!("{detail} (the message was cut: it had {whole} bytes with its key and headers)");
        }
        letter.headers.push_text("dl_topic", diagnosis.topic);
        letter.headers.push_text("dl_partition", diagnosis.partition);
        letter.headers.push_text("dl_offset", diagnosis.offset);
        letter.headers.push_text("dl_code", diagnosis.code);
        letter.headers.push_text("dl_detail", shortened(detail));
        letter.headers.push_text("dl_at", diagnosis.at);
        letter
    }

    /// What it takes, in bytes: key, value and headers.
    pub fn size(&self) -> usize {
        let headers = self.headers.bytes() + self.headers.len() * PER_HEADER;
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers
    }

    /// Makes it no larger than that, in bytes: of the value first, then the headers (the last one first), then the
    /// key. Says whether it had to. For a topic whose own limit is below [`MAX_PRODUCED_BYTES`].
    pub fn cut_to(&mut self, most: usize) -> bool {
        let whole = self.size();
        let mut over = whole.saturating_sub(most);
        if let Some(value) = &mut self.value {
            let keep = value.len().saturating_sub(over);
            over -= value.len() - keep;
            value.truncate(keep);
        }
        while over > 0 {
            let Some(bytes) = self.headers.pop() else { break };
            over = over.saturating_sub(bytes + PER_HEADER);
        }
        if let Some(key) = &mut self.key {
            key.truncate(key.len().saturating_sub(over));
        }
        whole > most
    }
}

/// What a header costs beside its name and value.
const PER_HEADER: usize = 16;
/// What the `dl_` headers and the frame of a message take at most.
const ROOM_FOR_OURS: usize = 8 * 1024;
const MOST_DETAIL: usize = 2_000;

fn shortened(mut detail: String) -> String {
    if let Some((end, _)) = detail.char_indices().nth(MOST_DETAIL) {
        detail.truncate(end);
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: usize, value: usize, headers: Headers, detail: &str) -> DeadLetter {
        let (topic, code) = ("saga.replies", "NOT_JSON");
        let diagnosis = Diagnosis { topic, partition: 3, offset: 42, code, detail, at: Micros(0) };
        DeadLetter::new(&diagnosis, Some(vec![b'k'; key]), Some(vec![b'v'; value]), headers)
    }

    #[test]
    fn keeps_the_message_and_says_why() {
        let theirs: [(&str, &[u8]); 2] = [("dl_code", b"older"), ("x", &[0xff])];
        let letter = letter(36, 100, theirs.into_iter().collect(), "not valid JSON");
        assert_eq!((letter.key.as_ref().map(Vec::len), letter.value.as_ref().map(Vec::len)), (Some(36), Some(100)));
        assert!(letter.headers.iter().take(2).eq(theirs));
        for (name, value) in [
            ("dl_topic", "saga.replies"),
            ("dl_partition", "3"),
            ("dl_offset", "42"),
            ("dl_code", "NOT_JSON"),
            ("dl_detail", "not valid JSON"),
            ("dl_at", "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(letter.headers.text(name), Some(value));
        }
    }

    #[test]
    fn is_never_too_large_to_be_sent() {
        let large = 3 * MAX_PRODUCED_BYTES;
        let headers = || [("h", vec![b'h'; large]), ("small", vec![])].into_iter().collect();
        for letter in [
            letter(36, large, Headers::new(), "x"),
            letter(large, large, headers(), "x"),
            letter(36, 10, headers(), &"é".repeat(large)),
            letter(large, 0, Headers::new(), "x"),
        ] {
            assert!(letter.size() <= MAX_PRODUCED_BYTES, "{}", letter.size());
        }
        let letter = letter(36, large, [("kept", "")].into_iter().collect(), "too large");
        assert_eq!(letter.key.as_ref().map(Vec::len), Some(36));
        assert!(letter.value.as_ref().is_some_and(|value| value.len() > MAX_PRODUCED_BYTES - 10_000));
        assert_eq!(letter.headers.text("kept"), Some(""));
        assert!(letter.headers.text("dl_detail").unwrap().contains("was cut: it had 6291512 bytes"));
    }

    #[test]
    fn a_message_of_ordinary_size_is_whole() {
        let letter = letter(36, 1_048_588, Headers::new(), "x");
        assert_eq!(letter.value.map(|value| value.len()), Some(1_048_588));
        assert!(!letter.headers.text("dl_detail").unwrap().contains("cut"));
    }
}
