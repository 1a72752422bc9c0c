//! Lists that are read page by page, newest first: each page names where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use service::http::Query;
use uuid::Uuid;

/// The lists that have pages. A cursor belongs to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Audit,
    DeadLetters,
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    list: List,
    /// Only what is older than this.
    pub before: Option<Uuid>,
    pub limit: u64,
}

const DEFAULT_LIMIT: u64 = 50;
const MAX_LIMIT: u64 = 200;

impl Part {
    /// Reads `cursor` and `limit`.
    pub fn of(list: List, query: &mut Query) -> Self {
        let before = query.optional("cursor", |text| list.read(text));
        let limit = query.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        Self { list, before, limit }
    }

    /// The cursor of the page after one that ends with that entry.
    pub fn after(&self, last: Uuid) -> String {
        self.list.cursor(last)
    }

    /// How many entries to ask for: one more than is shown says whether there is a next page.
    pub fn wanted(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts what was found to what is shown; the cursor of the next page, if there is one.
    pub fn cut<T>(&self, found: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if found.len() <= limit {
            return None;
        }
        found.truncate(limit);
        found.last().map(|last| self.after(id(last)))
    }
}

impl List {
    fn tag(self) -> u8 {
        match self {
            Self::Audit => b'a',
            Self::DeadLetters => b'd',
        }
    }

    /// The cursor of what comes after the entry with that id. What is in it is nobody's business.
    fn cursor(self, last: Uuid) -> String {
        let mut bytes = [self.tag(); 17];
        bytes[1..].copy_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(self, text: &str) -> Result<Uuid, &'static str> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let id = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(&[self.tag()]));
        id.and_then(|id| Uuid::from_slice(id).ok()).ok_or("write the nextCursor of a page of this list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_by_its_list_alone() {
        let id = Uuid::from_u128(0x0199e0a5_3c1e_7b1a_9d0e_2f6f1f0e7a11);
        let cursor = List::Audit.cursor(id);
        assert_eq!(List::Audit.read(&cursor), Ok(id));
        let shorter = &cursor[..cursor.len() - 1];
        for wrong in ["", "x", &id.to_string(), shorter, &format!("{cursor}A"), &format!("{cursor}=")] {
            assert!(List::Audit.read(wrong).is_err(), "{wrong}");
        }
        assert!(List::DeadLetters.read(&cursor).is_err());
    }

    #[test]
    fn there_is_a_next_page_only_if_more_was_found() {
        let part = Part::of(List::Audit, &mut Query::of(&"/x?limit=2".parse().unwrap()));
        assert_eq!((part.before, part.wanted()), (None, 3));
        let ids = |count: u128| (1..=count).map(Uuid::from_u128).collect::<Vec<_>>();
        let mut found = ids(2);
        assert_eq!((part.cut(&mut found, |id| *id), found.len()), (None, 2));
        let mut found = ids(3);
        assert_eq!(part.cut(&mut found, |id| *id), Some(List::Audit.cursor(Uuid::from_u128(2))));
        assert_eq!(found, ids(2));
    }
}
