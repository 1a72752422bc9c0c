//! The headers of a message, in a few blocks of memory: there are nine on each, of each message of each saga.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

/// Headers in their order: names, and values that are any bytes. A name may occur several times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where the name and the value of each end.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// None yet, with room for the usual ones.
    pub fn new() -> Self {
        Self { names: String::with_capacity(96), values: Vec::with_capacity(288), ends: Vec::with_capacity(9) }
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.names.push_str(name);
        self.values.extend_from_slice(value);
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// Adds one at the end whose value is the texts one after the other.
    pub fn push_joined<const N: usize>(&mut self, name: &str, texts: [&str; N]) {
        self.names.push_str(name);
        texts.iter().for_each(|text| self.values.extend_from_slice(text.as_bytes()));
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// Adds one at the end whose value is what `value` displays; where there are many, [`Headers::push`] is quicker.
    pub fn push_text(&mut self, name: &str, value: impl Display) {
        // Neither write fails: both grow as they need to.
        let _ = self.names.write_str(name);
        let _ = write!(self.values, "{value}");
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// Takes the last one away; how many bytes of name and value it had.
    pub fn pop(&mut self) -> Option<usize> {
        let whole = self.bytes();
        self.ends.pop()?;
        let (names, values) = self.ends.last().copied().unwrap_or_default();
        self.names.truncate(names);
        self.values.truncate(values);
        Some(whole - self.bytes())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What all names and values take.
    pub fn bytes(&self) -> usize {
        self.names.len() + self.values.len()
    }

    /// Each name with its value, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &[u8])> {
        (0..self.ends.len()).map(|index| {
            let (name, value) = self.ends[index];
            let (from_name, from_value) = index.checked_sub(1).map(|before| self.ends[before]).unwrap_or_default();
            (&self.names[from_name..name], &self.values[from_value..value])
        })
    }

    /// The text under a name, if it is there and is text; the last, if it is there several times.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.iter().rev().find(|(key, _)| *key == name)?;
        std::str::from_utf8(value).ok()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::default();
        headers.into_iter().for_each(|(name, value)| all.push(name.as_ref(), value.as_ref()));
        all
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_names_and_values_in_order() {
        let mut headers = Headers::new();
        headers.push("a", b"\xff");
        headers.push_text("é", 42);
        headers.push("", b"");
        headers.push_joined("a", ["la", "", "st"]);
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("a", &b"\xff"[..]), ("é", b"42"), ("", b""), ("a", b"last")]);
        assert_eq!((headers.len(), headers.bytes()), (4, 11));
        assert_eq!((headers.text("a"), headers.text("é"), headers.text("b")), (Some("last"), Some("42"), None));
        assert_eq!(headers, all.into_iter().collect());
        assert_eq!((headers.pop(), headers.text("a")), (Some(5), None), "what is left there is no text");
        assert_eq!((headers.pop(), headers.pop(), headers.pop(), headers.pop()), (Some(0), Some(4), Some(2), None));
        assert!(headers.is_empty());
    }
}
