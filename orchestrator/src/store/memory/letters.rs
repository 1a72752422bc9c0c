//! The audit, and dead letters that operators do something about.

use saga_model::Micros;
use uuid::Uuid;

use super::state::State;
use crate::store::Result;
use crate::store::rows::{
    AdminRequest, AuditFilter, Claim, DeadLetter, DeadLetterFilter, DeadLetterStatus, LetterPage, RequestStatus,
    Verdict,
};

impl State {
    /// Requests that are not pending, newest first.
    pub fn audit(&self, filter: &AuditFilter) -> impl Iterator<Item = &AdminRequest> {
        let fits = |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|text| has == Some(text));
        self.requests.values().rev().filter(move |request| {
            request.status != RequestStatus::Pending
                && filter.saga.is_none_or(|saga| request.saga == Some(saga))
                && fits(&filter.actor, request.actor.as_deref())
                && fits(&filter.action, Some(&request.action))
                && filter.before.is_none_or(|before| request.id < before)
        })
    }

    /// Dead letters, newest first.
    pub fn letters(&self, filter: &DeadLetterFilter) -> LetterPage {
        let matching = || {
            self.dead_letters.values().rev().filter(|letter| {
                filter.status.is_none_or(|status| letter.status == status)
                    && filter.topic.as_ref().is_none_or(|topic| letter.topic == *topic)
                    && filter.code.as_ref().is_none_or(|code| letter.code == *code)
            })
        };
        let older = || matching().filter(|letter| filter.before.is_none_or(|before| letter.id < before));
        let fit = LetterPage::fit(older().map(size), filter.limit);
        let items = older().take(fit).cloned().collect();
        LetterPage { items, total: matching().count() as u64, more: older().nth(fit).is_some() }
    }

    /// Claims a new letter that nobody has claimed, or whose claim has run out.
    pub fn claim_letter(&mut self, claim: Claim, now: Micros) -> bool {
        let standing = self.claims.get(&claim.letter).copied();
        let free = self.new_letter(claim.letter).is_some() && standing.is_none_or(|until| until <= now);
        if free {
            self.claims.insert(claim.letter, claim.until);
        }
        free
    }

    /// Ends a claim, if it still stands.
    pub fn close_letter(&mut self, claim: Claim, verdict: &Verdict) -> Result<bool> {
        if self.claims.get(&claim.letter) != Some(&claim.until) || self.new_letter(claim.letter).is_none() {
            return Ok(false);
        }
        if let Some((status, record)) = verdict.settles() {
            self.put_request(record)?;
            if let Some(letter) = self.new_letter(claim.letter) {
                letter.status = status;
            }
        }
        self.claims.remove(&claim.letter);
        Ok(true)
    }

    fn new_letter(&mut self, id: Uuid) -> Option<&mut DeadLetter> {
        self.dead_letters.get_mut(&id).filter(|letter| letter.status == DeadLetterStatus::New)
    }
}

fn size(letter: &DeadLetter) -> u64 {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    (bytes(&letter.key) + bytes(&letter.value) + letter.headers.bytes()) as u64
}
